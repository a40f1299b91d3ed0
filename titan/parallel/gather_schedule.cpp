#include "titan/parallel/gather_schedule.h"

namespace titan::parallel {

StatusOr<Reshard> reshard_from_name(const std::string& name) {
  if (name == "default") return Reshard::kDefault;
  if (name == "always") return Reshard::kAlways;
  if (name == "never") return Reshard::kNever;
  return invalid_argument(
      "[parallel] parallelism.fsdp_reshard_after_forward is default, always or never (given \"",
      name, "\")");
}

bool GatherSchedule::keeps(std::size_t unit) const {
  if (reshard == Reshard::kDefault) return unit + 2 >= num_units;
  return reshard == Reshard::kNever;
}

std::vector<std::size_t> GatherSchedule::wanted_forward(std::size_t unit) const {
  std::vector<std::size_t> units;
  for (std::size_t u = unit; u < num_units && u <= unit + prefetch; ++u) units.push_back(u);
  return units;
}

std::vector<std::size_t> GatherSchedule::wanted_backward(std::size_t unit) const {
  std::vector<std::size_t> units;
  for (std::size_t back = 0; back <= prefetch && back <= unit; ++back) units.push_back(unit - back);
  return units;
}

}  // namespace titan::parallel
