// graphed_losses.h: the losses of one evaluation's batches: a few are launched kernel by kernel,
// one is recorded, the rest of its form is replayed (graphed_step.h is the same for a training
// step). Lives as long as one evaluation, within which weights stay as they are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "titan/data/batch.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/device_services.h"

namespace titan {

class GraphedLosses {
 public:
  /// Losses [B] float32 of a batch on the device, at `timestep` [B] int64 there.
  using Work = std::function<at::Tensor(const Batch& batch, const at::Tensor& timestep)>;
  static constexpr int64_t kWarmUpBatches = 2;

  /// `graph` null: every batch is launched. `ranks`: those that evaluate together, outlives this
  /// object; null: this one is alone. All make theirs at the same place and call run() equally
  /// often.
  GraphedLosses(Work work, std::unique_ptr<parallel::DeviceGraph> graph,
                parallel::Communicator* ranks);

  /// Valid until the next call. A recording that fails on a rank is given up on all; throws
  /// titan::Error, on all, where of several ranks one was stopped within its work: it may hold
  /// weights for gathered that are not.
  at::Tensor run(const Batch& batch, const at::Tensor& timestep);

 private:
  bool record(const Batch& batch, const at::Tensor& timestep);

  Work work_;
  std::unique_ptr<parallel::DeviceGraph> graph_;
  parallel::Communicator* ranks_;
  int64_t warm_up_left_ = kWarmUpBatches;
  bool recorded_ = false;
  Batch batch_;  ///< what the graph reads
  at::Tensor timestep_;
  at::Tensor losses_;  ///< what it writes
};

}  // namespace titan
