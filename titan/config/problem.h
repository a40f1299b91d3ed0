// problem.h: one thing that is wrong with a config; all of them are collected and reported at once.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::config {

/// `place` is "dit.toml:12", "command line" or empty; `key` is "training.steps" or empty.
struct Problem {
  std::string place;  ///< file and line
  std::string key;    ///< dotted
  std::string text;   ///< "must be at least 1 (given 0)"
};

/// Returns "place: key: text"; empty parts are left out.
std::string to_line(const Problem& problem);

/// Returns OK for no problems, else kInvalidArgument with one line per problem.
Status to_status(const std::vector<Problem>& problems);

}  // namespace titan::config
