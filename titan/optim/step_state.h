// optim: from gradients to new weights: learning rate, norm, update, averages. Works on the flat
// buffers of parallel/flat_parameters.h; knows nothing of models, data or the training loop.
//
// step_state.h: which step this is and at which rate, on the device, so that nothing in the update
// comes from host scalars (a captured graph replays right) and nothing waits for the host.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace titan::optim {

struct StepState {
  std::int64_t host_step = 0;  ///< optimizer step being made, 1, 2, ...
  double host_lr = 0;
  at::Tensor step;           ///< [] float32, host_step (exact up to 2^24)
  at::Tensor lr;             ///< [] float32, host_lr
  at::Tensor average_share;  ///< [] float32: of the new weights in their average (Ema::share)

  explicit StepState(const at::Device& device)
      : step(at::zeros({}, at::TensorOptions().device(device).dtype(at::kFloat))),
        lr(at::zeros_like(step)),
        average_share(at::zeros_like(step)) {}

  /// Sets the step that is about to be made, before the update (and outside a captured graph).
  void begin(std::int64_t new_step, double new_lr, double new_average_share = 0) {
    host_step = new_step;
    host_lr = new_lr;
    step.fill_(static_cast<double>(new_step));
    lr.fill_(new_lr);
    average_share.fill_(new_average_share);
  }
};

}  // namespace titan::optim
