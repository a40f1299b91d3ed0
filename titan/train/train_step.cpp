#include "titan/train/train_step.h"

#include "titan/base/trace.h"
#include "titan/models/converters/float8.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/parallelize.h"
#include "titan/train/model_setup.h"

namespace titan {

StatusOr<std::unique_ptr<TrainStep>> TrainStep::create(const TrainStepContext& context) {
  std::unique_ptr<TrainStep> step(new TrainStep(context));
  TITAN_RETURN_IF_ERROR(step->build(context));
  return step;
}

Status TrainStep::build(const TrainStepContext& context) {
  const auto& [config, spec, shape, mesh, open, device, encoder, batches, seed] = context;
  TITAN_ASSIGN_OR_RETURN(model_, spec.build(config, shape, at::kMeta));
  TITAN_ASSIGN_OR_RETURN(
      objective_, spec.objective(config, shape, seed, encoder ? &encoder->encoder() : nullptr));
  TITAN_ASSIGN_OR_RETURN(const parallel::EngineOptions options,
                         parallel::engine_options(config, mesh, device));
  models::keep_float8_weights(*model_, config.training.compile && options.parameters.resident);
  engine_ = std::make_unique<parallel::ParallelEngine>(
      split_into_units(*model_), parallel::open_mesh_groups(mesh, open), options);
  engine_->parameters().initialize(*model_, seed);
  TITAN_RETURN_IF_ERROR(place_buffers(*model_, device));
  hooks_ = std::make_unique<parallel::TracedHooks>(*engine_);
  const auto& parallelize = spec.parallelize ? spec.parallelize : parallel::default_parallelize;
  TITAN_ASSIGN_OR_RETURN(runner_, parallelize(model_, mesh, config, hooks_.get()));
  optimizer_ = std::make_unique<optim::AdamW>(engine_->parameters().units(),
                                              optim::adamw_options(config.optimizer, seed));
  if (config.ema.enable)
    ema_ = std::make_unique<optim::Ema>(engine_->parameters(), optim::ema_options(config.ema));
  return ok_status();
}

at::Tensor TrainStep::micro_batch(Batch batch, FiniteGuard* guard) {
  const at::Tensor sample = batch.sample;  // on the CPU
  bring(batch, device_, encoder_);
  const TrainingExample example = objective_->prepare(batch);
  return runner_->forward_backward(
      example.x_t, example.t, example.condition, [&](const at::Tensor& prediction) {
        const at::Tensor losses = objective_->loss(prediction, example);
        if (guard != nullptr) guard->add(sample, losses);
        return losses.sum() / static_cast<double>(batches_.global_batch);
      });
}

StatusOr<StepResult> TrainStep::run(int64_t number, double lr,
                                    const std::function<StatusOr<Batch>()>& next_batch,
                                    FiniteGuard* guard) {
  state_.begin(number, lr, ema_ ? ema_->share(number) : 0);
  engine_->begin_step(batches_.accumulation);
  at::Tensor loss_sum;
  for (int64_t i = 0; i < batches_.accumulation; ++i) {
    TITAN_ASSIGN_OR_RETURN(Batch batch, next_batch());
    engine_->begin_micro_batch(i);
    const at::Tensor loss = micro_batch(std::move(batch), guard);
    loss_sum = loss_sum.defined() ? loss_sum + loss : loss;
  }
  {
    const TraceSpan span("finish reduction");
    engine_->finish();
  }
  const TraceSpan span("optimizer");
  const at::Tensor norm =
      optim::global_grad_norm(engine_->parameters().units(),
                              [&](const at::Tensor& sum) { engine_->sum_over_shards_(sum); });
  optimizer_->step(state_, max_norm_ > 0 ? optim::clip_coefficient(norm, max_norm_) : at::Tensor(),
                   guard != nullptr ? guard->end_step(number, norm) : at::Tensor(), ema_.get());
  engine_->parameters().weights_changed(/*with_copies=*/optimizer_->writes_copies());
  return StepResult{loss_sum * static_cast<double>(dp_size_), norm, lr};
}

}  // namespace titan
