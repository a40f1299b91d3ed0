// train: the story of a run, from argv to the last checkpoint.
//
// batch_plan.h: how a global batch is cut into ranks and micro-batches.
#pragma once

#include <cstdint>

#include "titan/base/status.h"

namespace titan {

struct BatchPlan {
  int64_t micro_batch = 1;   ///< samples per forward on one rank
  int64_t global_batch = 1;  ///< samples per optimizer step over all ranks
  int64_t accumulation = 1;  ///< micro-batches per step on one rank
};

/// global_batch_size 0 = batch_size x dp_size. An error names the nearest sizes that fit where
/// batch_size x dp_size does not divide global_batch_size.
StatusOr<BatchPlan> plan_batches(int64_t batch_size, int64_t global_batch_size, int64_t dp_size);

/// kInvalidArgument where `num_samples`, or training.subset_size of them (0 = all), are fewer than
/// a global batch.
Status check_enough_samples(int64_t num_samples, int64_t subset_size, const BatchPlan& batches);

}  // namespace titan
