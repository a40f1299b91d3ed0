// brace_expansion.h: names of many shards in one: "cc12m-train-{0000..2175}.tar".
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Every "{a..b}" (whole numbers, zero-padded as the first one is, up or down) and "{x,y,z}"
/// replaced by each of its values, the leftmost varying slowest. kInvalidArgument: a brace that is
/// not closed, neither range nor list, or more than a million names.
StatusOr<std::vector<std::string>> expand_braces(const std::string& pattern);

}  // namespace titan
