// dry_run.h: every rank's plan of a job, made and checked on one machine without the model's
// memory. No torch.
#pragma once

#include <cstdint>
#include <vector>

#include "titan/base/status.h"
#include "titan/parallel/parallel_dims.h"
#include "titan/plan/engine_walk.h"

namespace titan::plan {

struct DryRun {
  int64_t ranks = 0;
  int64_t fragments = 0;      ///< over all ranks
  int64_t groups = 0;         ///< connections that the job opens
  int64_t largest_slice = 0;  ///< bytes of float32 weights on one rank
  int64_t gather_slots = 0;   ///< bytes on one rank
  int64_t message_slots = 0;  ///< bytes on one rank
};

/// Lays out every rank: which part of which parameter it holds, with whom it talks, which slots it
/// needs. kInternal where a parameter is not covered exactly once by the ranks of each replica,
/// where ranks disagree about a group, or where slots differ.
StatusOr<DryRun> dry_run(const std::vector<parallel::UnitLayout>& units,
                         const parallel::ParallelDims& dims, const EngineShape& shape);

/// The slots of one step: forward and backward through all units, `accumulation` times.
void walk_units(EngineWalk& walk, std::size_t units, int64_t accumulation);

}  // namespace titan::plan
