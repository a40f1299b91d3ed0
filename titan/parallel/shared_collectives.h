// shared_collectives.h: the collectives over slots in shared memory (shared_steps.h). Each blocks
// until this rank's part is done.
#pragma once

#include <chrono>
#include <cstdint>

#include <c10/core/ScalarType.h>

#include "titan/parallel/communicator.h"
#include "titan/parallel/shared_steps.h"

namespace titan::parallel {

using Deadline = std::chrono::steady_clock::time_point;

/// `count` numbers of `type`, reduced in place in order of rank. Each rank reduces its share of a
/// piece and the others copy it: a number is read once by each rank and summed by one.
void all_reduce(SharedSteps& steps, Reduction reduction, c10::ScalarType type, std::byte* data,
                std::int64_t count, Deadline deadline);
/// whole = the parts of all ranks in order, `bytes` each; `part` may lie in `whole`.
void all_gather(SharedSteps& steps, std::byte* whole, const std::byte* part, std::int64_t bytes,
                Deadline deadline);
/// part = this rank's `count` numbers of the sum over ranks of `whole`; it may lie there.
void reduce_scatter(SharedSteps& steps, c10::ScalarType type, std::byte* part,
                    const std::byte* whole, std::int64_t count, Deadline deadline);
void broadcast(SharedSteps& steps, int root, std::byte* data, std::int64_t bytes,
               Deadline deadline);

}  // namespace titan::parallel
