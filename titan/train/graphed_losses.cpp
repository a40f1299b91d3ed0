#include "titan/train/graphed_losses.h"

#include <utility>

#include "titan/base/check.h"
#include "titan/base/log.h"
#include "titan/train/fixed_batch.h"
#include "titan/train/graphed_step.h"

namespace titan {

GraphedLosses::GraphedLosses(Work work, std::unique_ptr<parallel::DeviceGraph> graph,
                             parallel::Communicator* ranks)
    : work_(std::move(work)), graph_(graph_of_all(std::move(graph), ranks)), ranks_(ranks) {}

at::Tensor GraphedLosses::run(const Batch& batch, const at::Tensor& timestep) {
  if (!graph_ || warm_up_left_-- > 0) return work_(batch, timestep);
  if (!recorded_) {
    recorded_ = record(batch, timestep);
    if (!recorded_) return work_(batch, timestep);
  } else if (!same_form(batch_, batch)) {
    return work_(batch, timestep);  // the last batch of a data set
  } else {
    copy_into(batch_, batch);
    timestep_.copy_(timestep);
  }
  graph_->replay();
  return losses_;
}

bool GraphedLosses::record(const Batch& batch, const at::Tensor& timestep) {
  batch_ = fixed_copy(batch);
  timestep_ = timestep.clone();
  const Recording recording = record_on_all(
      *graph_, [&] { losses_ = work_(batch_, timestep_); }, ranks_);
  if (recording.failure.empty()) return true;
  TITAN_CHECK(!recording.work_broken || ranks_ == nullptr || ranks_->size() == 1,
              "[graph] evaluation cannot be recorded (", recording.failure,
              "); training.cuda_graphs=off launches it kernel by kernel");
  TITAN_LOG(WARNING) << "[graph] off for this evaluation: it cannot be recorded: "
                     << recording.failure;
  losses_ = at::Tensor();
  graph_.reset();
  return false;
}

}  // namespace titan
