// printable.h: names from files, made fit for one line of a message: a hostile one neither floods
// nor steers the terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace titan {

/// `text` with control characters as '?', cut to `longest` bytes with "..." behind.
std::string printable(const std::string& text, std::size_t longest = 80);

/// "a, b, c and 5 more": the first `shown` of the names, each printable up to `longest` bytes.
std::string listed(const std::vector<std::string>& names, std::size_t shown = 8,
                   std::size_t longest = 200);

}  // namespace titan
