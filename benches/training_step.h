// training_step.h: one training step on the CPU: forward, loss, backward, clipping, AdamW, exactly
// as the trainer does them.
#pragma once

#include <memory>
#include <utility>

#include <torch/types.h>
#include <torch/utils.h>

#include "titan/memory/cpu_allocator.h"
#include "titan/ops/backend.h"
#include "titan/optim/adamw.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/engine.h"
#include "titan/parallel/traced_hooks.h"
#include "titan/protocols/block_runner.h"

namespace titan::benches {

/// One batch.
struct StepInputs {
  at::Tensor x_t, t, target;
  Conditioning condition;
};

/// An initialised model with its optimizer.
class TrainingStep {
 public:
  TrainingStep(std::shared_ptr<Model> model, double lr, RecomputePlan plan = {},
               const parallel::EngineOptions& options = {})
      : lr_(lr),
        engine_(split_into_units(*model), {}, options),
        runner_(make_runner(std::move(model), &hooks_, std::move(plan))),
        optimizer_(engine_.parameters().units(), optim::AdamWOptions{}) {}

  /// The loss of one step.
  double run(const StepInputs& inputs) {
    state_.begin(++count_, lr_);
    engine_.begin_step(/*accumulation=*/1);
    engine_.begin_micro_batch(0);
    const at::Tensor loss = runner_->forward_backward(
        inputs.x_t, inputs.t, inputs.condition,
        [&](const at::Tensor& prediction) { return at::mse_loss(prediction, inputs.target); });
    engine_.finish();
    const torch::NoGradGuard no_grad;
    const at::Tensor norm = optim::global_grad_norm(engine_.parameters().units());
    optimizer_.step(state_, optim::clip_coefficient(norm, /*max_norm=*/1.0));
    engine_.parameters().weights_changed();
    return loss.item<double>();
  }

  /// The loss without a step.
  double evaluate(const StepInputs& inputs) {
    const torch::NoGradGuard no_grad;
    const at::Tensor prediction = runner_->forward(inputs.x_t, inputs.t, inputs.condition);
    return at::mse_loss(prediction.to(inputs.target.scalar_type()), inputs.target).item<double>();
  }

 private:
  double lr_;
  parallel::ParallelEngine engine_;
  parallel::TracedHooks hooks_{engine_};
  std::unique_ptr<BlockRunner> runner_;
  optim::AdamW optimizer_;
  optim::StepState state_{at::kCPU};
  int64_t count_ = 0;
};

}  // namespace titan::benches
