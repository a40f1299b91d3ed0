#include "titan/train/graphed_losses.h"

#include <exception>
#include <utility>

#include "titan/base/check.h"
#include "titan/base/log.h"
#include "titan/train/fixed_batch.h"

namespace titan {

GraphedLosses::GraphedLosses(Work work, std::unique_ptr<parallel::DeviceGraph> graph,
                             bool may_fall_back)
    : work_(std::move(work)), graph_(std::move(graph)), may_fall_back_(may_fall_back) {}

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
  try {
    graph_->capture([&] { losses_ = work_(batch_, timestep_); });
    return true;
  } catch (const std::exception& error) {
    const std::string whole = error.what();
    const std::string cause = whole.substr(0, whole.find('\n'));
    TITAN_CHECK(may_fall_back_, "[graph] evaluation cannot be recorded (", cause,
                "); training.cuda_graphs=off launches it kernel by kernel");
    TITAN_LOG(WARNING) << "[graph] off for this evaluation: it cannot be recorded: " << cause;
    graph_.reset();
    return false;
  }
}

}  // namespace titan
