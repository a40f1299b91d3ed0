// gather_schedule.h: when a sharded unit is whole. Units number as in ModelUnit: embed, blocks,
// head. Only numbers: the engine and the planner walk the same schedule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "titan/base/status.h"

namespace titan::parallel {

/// Whether a unit's gathered parameters are given back after its forward.
enum class Reshard : std::uint8_t {
  kDefault,  ///< all but the last block and the head: backward begins with them
  kAlways,
  kNever,
};

/// "default", "always", "never".
StatusOr<Reshard> reshard_from_name(const std::string& name);

struct GatherSchedule {
  std::size_t num_units = 0;
  Reshard reshard = Reshard::kDefault;
  std::size_t prefetch = 1;  ///< units gathered ahead of the one that computes

  /// Whether `unit` stays whole from its forward to its backward.
  bool keeps(std::size_t unit) const;
  /// Units to have begun gathering, in this order, before `unit` computes: itself, then those that
  /// come next.
  std::vector<std::size_t> wanted_forward(std::size_t unit) const;
  std::vector<std::size_t> wanted_backward(std::size_t unit) const;
};

}  // namespace titan::parallel
