// plan.h: `titan plan`.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// What a job needs on each rank, in its own and other layouts, without a device.
int plan_main(const std::vector<std::string>& args);

}  // namespace titan
