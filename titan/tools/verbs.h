// tools: programs. verbs.h: the verbs of `titan`, one file each.
#pragma once

#include <string>
#include <vector>

namespace titan::tools {

/// A verb gets the words behind its name and returns an exit code; an exception it lets out is
/// reported by `titan`.
struct Verb {
  std::string name;
  std::string help;  ///< one line
  int (*run)(const std::vector<std::string>& arguments);
};

/// All verbs, in the order of the help text.
const std::vector<Verb>& verbs();

}  // namespace titan::tools
