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
#include "titan/parallel/device_services.h"

namespace titan {

class GraphedLosses {
 public:
  /// Losses [B] float32 of a batch on the device, at `timestep` [B] int64 there.
  using Work = std::function<at::Tensor(const Batch& batch, const at::Tensor& timestep)>;
  static constexpr int64_t kWarmUpBatches = 2;

  /// `graph` null: every batch is launched. `may_fall_back`: a recording that fails is given up;
  /// else it throws titan::Error.
  GraphedLosses(Work work, std::unique_ptr<parallel::DeviceGraph> graph, bool may_fall_back);

  /// Valid until the next call.
  at::Tensor run(const Batch& batch, const at::Tensor& timestep);

 private:
  bool record(const Batch& batch, const at::Tensor& timestep);

  Work work_;
  std::unique_ptr<parallel::DeviceGraph> graph_;
  bool may_fall_back_;
  int64_t warm_up_left_ = kWarmUpBatches;
  bool recorded_ = false;
  Batch batch_;  ///< what the graph reads
  at::Tensor timestep_;
  at::Tensor losses_;  ///< what it writes
};

}  // namespace titan
