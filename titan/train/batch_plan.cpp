#include "titan/train/batch_plan.h"

#include <algorithm>

namespace titan {

StatusOr<BatchPlan> plan_batches(int64_t batch_size, int64_t global_batch_size, int64_t dp_size) {
  const int64_t per_pass = batch_size * dp_size;
  if (global_batch_size == 0) return BatchPlan{batch_size, per_pass, 1};
  if (global_batch_size % per_pass == 0) {
    return BatchPlan{batch_size, global_batch_size, global_batch_size / per_pass};
  }
  const int64_t below = global_batch_size / per_pass * per_pass;
  const std::string nearest =
      below == 0 ? str_cat(per_pass) : str_cat(below, " and ", below + per_pass);
  return invalid_argument(
      "[train] training.global_batch_size must be a multiple of training.batch_size x "
      "data-parallel ranks "
      "(global_batch_size=",
      global_batch_size, ", batch_size=", batch_size, ", ranks=", dp_size,
      "); nearest that fit: ", nearest);
}

Status check_enough_samples(int64_t num_samples, int64_t subset_size, const BatchPlan& batches) {
  const int64_t used = subset_size > 0 ? std::min(num_samples, subset_size) : num_samples;
  if (used >= batches.global_batch) return ok_status();
  return invalid_argument(
      "[data] the data set is smaller than the global batch (samples=", num_samples,
      used < num_samples ? str_cat(", training.subset_size=", subset_size) : "",
      ", global batch=", batches.global_batch,
      "); take a smaller training.batch_size or training.global_batch_size, or "
      "more data");
}

}  // namespace titan
