// nearest.h: "did you mean": the known name closest to a misspelt one.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace titan::config {

/// Returns the number of insertions, deletions, substitutions and swaps of neighbours that turn `a`
/// into `b` (optimal string alignment).
std::size_t edit_distance(const std::string& a, const std::string& b);

/// Returns the closest of `candidates`, or "" where none is close. Dotted names are also compared
/// by their last part alone, so that a key in the wrong section is found.
std::string nearest_match(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace titan::config
