#include "titan/data/read_ahead.h"

#include <algorithm>

#include "titan/data/dataset.h"

namespace titan {

ReadAheadPlan::ReadAheadPlan(const Dataset& dataset, int64_t batch_size)
    : data_(dynamic_cast<const ReadsAhead*>(&dataset)),
      batches_(std::max<int64_t>(2, 2 * kSamples / batch_size)) {}

void ReadAheadPlan::before(
    int64_t next, const std::function<bool(int64_t batch, std::vector<int64_t>& indices)>& append) {
  if (data_ == nullptr || next < tell_at_) return;
  // Twice what is needed, half as often: the order of a sample is computed twice, not every time.
  tell_at_ = next + batches_ / 2;
  std::vector<int64_t> indices;
  for (int64_t batch = next; batch < next + batches_; ++batch)
    if (!append(batch, indices)) break;
  data_->expect(indices);
}

}  // namespace titan
