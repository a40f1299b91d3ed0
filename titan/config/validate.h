// validate.h: rules between fields that need no knowledge of ranks or data.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/config/problem.h"

namespace titan {

/// Returns OK, or kInvalidArgument with every broken rule. load_config has already called it.
Status validate(const JobConfig& config);

namespace config {
/// The broken rules of validate(); `place` is empty.
std::vector<Problem> find_problems(const JobConfig& config);
/// Settings that are allowed but hardly meant.
std::vector<Problem> find_doubts(const JobConfig& config);
}  // namespace config

}  // namespace titan
