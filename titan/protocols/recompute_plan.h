// recompute_plan.h: which blocks are computed again in backward, from the settings alone. No torch:
// a planner uses it too.
#pragma once

#include <cstddef>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/sections/parallelism.h"
#include "titan/ops/keep_policy.h"

namespace titan {

/// What backward finds of one block.
struct BlockRecompute {
  bool recompute = false;  ///< false: everything it needs
  ops::KeepPolicy keep;    ///< recompute: what is kept besides the block's input

  /// Equal in both.
  bool operator==(const BlockRecompute&) const = default;
};

/// One entry a block; empty = nothing is recomputed. embed and head never are.
using RecomputePlan = std::vector<BlockRecompute>;

/// The first fraction x num_blocks blocks, rounded down, follow `settings.mode`; of them every k-th
/// alone (k, 2k, ..., counted from 1) where selective_ac_option is a number k. The first blocks,
/// because theirs are the activations that wait longest. The error names the setting.
StatusOr<RecomputePlan> recompute_plan(const ActivationCheckpointSection& settings,
                                       std::size_t num_blocks);

}  // namespace titan
