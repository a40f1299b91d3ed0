// parallel_dims.h: how many ranks each kind of parallelism gets. No torch.
#pragma once

#include <cstdint>

#include "titan/base/status.h"
#include "titan/config/job_config.h"

namespace titan::parallel {

/// Degrees, all at least 1; their product is the world size.
struct ParallelDims {
  int64_t dp_replicate = 1;
  int64_t dp_shard = 1;
  int64_t cp = 1;
  int64_t tp = 1;
  int64_t pp = 1;

  int64_t world_size() const { return dp_replicate * dp_shard * cp * tp * pp; }
  /// Ranks that see different samples.
  int64_t dp_size() const { return dp_replicate * dp_shard; }
};

/// Resolves the configured degrees (-1 = the ranks that are left, at most once) for `world_size`
/// ranks; invalid_argument with the numbers where they do not fit.
StatusOr<ParallelDims> resolve_parallel_dims(const ParallelismSection& config, int64_t world_size);

}  // namespace titan::parallel
