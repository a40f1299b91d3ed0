#include "titan/train/train_step.h"

#include <utility>
#include <vector>

#include "titan/base/trace.h"
#include "titan/models/converters/float8.h"
#include "titan/ops/device_kernels.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/parallelize.h"
#include "titan/train/model_setup.h"

namespace titan {

namespace {

/// The update in plain operations on a GPU too old for titan's kernels.
Status fit_to_device(const JobConfig& config, const parallel::EngineOptions& engine,
                     optim::AdamWOptions& options) {
  const bool narrow = options.state_dtype != at::kFloat ||
                      engine.parameters.master != parallel::MasterWeights::kFloat32 ||
                      engine.parameters.grad_dtype != at::kFloat;
  if (narrow) {
    return invalid_argument(
        "[cuda] titan's update does not run on this GPU, and LibTorch's operations update float32 "
        "alone (optimizer.state_dtype=",
        config.optimizer.state_dtype,
        ", optimizer.master_weights=", config.optimizer.master_weights,
        ", training.mixed_precision_reduce=", config.training.mixed_precision_reduce,
        "); set all of them to float32");
  }
  options.fused = false;
  return ok_status();
}

}  // namespace

StatusOr<std::unique_ptr<TrainStep>> TrainStep::create(const TrainStepContext& context) {
  std::unique_ptr<TrainStep> step(new TrainStep(context));
  TITAN_RETURN_IF_ERROR(step->build(context));
  return step;
}

Status TrainStep::build(const TrainStepContext& context) {
  const JobConfig& config = context.config;
  const ModelSpec& spec = context.spec;
  const parallel::DeviceMesh& mesh = context.mesh;
  const at::Device device = context.device;
  TITAN_ASSIGN_OR_RETURN(model_, spec.build(config, context.shape, at::kMeta));
  TITAN_ASSIGN_OR_RETURN(objective_, spec.objective(config, context.shape, context.seed,
                                                    encoder_ ? &encoder_->encoder() : nullptr));
  TITAN_ASSIGN_OR_RETURN(const parallel::EngineOptions options,
                         parallel::engine_options(config, mesh, device));
  models::keep_float8_weights(*model_, config.training.compile && options.parameters.resident);
  engine_ = std::make_unique<parallel::ParallelEngine>(
      split_into_units(*model_), parallel::open_mesh_groups(mesh, context.open), options);
  engine_->parameters().initialize(*model_, context.seed);
  TITAN_RETURN_IF_ERROR(place_buffers(*model_, device));
  hooks_ = std::make_unique<parallel::TracedHooks>(*engine_);
  const auto& parallelize = spec.parallelize ? spec.parallelize : parallel::default_parallelize;
  TITAN_ASSIGN_OR_RETURN(runner_, parallelize(model_, mesh, config, hooks_.get()));
  optim::AdamWOptions update = optim::adamw_options(config.optimizer, context.seed);
  if (device.is_cuda() && !ops::device_kernels())
    TITAN_RETURN_IF_ERROR(fit_to_device(config, options, update));
  optimizer_ = std::make_unique<optim::AdamW>(engine_->parameters().units(), std::move(update));
  if (config.ema.enable)
    ema_ = std::make_unique<optim::Ema>(engine_->parameters(), optim::ema_options(config.ema));
  log_step_graph(config, device);
  steps_ = std::make_unique<GraphedStep>(
      *engine_, [this](const BatchSource& next) { return iterate(next); },
      make_step_graph(config, device),
      GraphedStepOptions{.device = device,
                         .accumulation = batches_.accumulation,
                         .with_copies = optimizer_->writes_copies(),
                         .ranks = context.control,
                         .forget = [this] { models::forget_float8_weights(*model_); }});
  return ok_status();
}

at::Tensor TrainStep::micro_batch(const Batch& batch, StepOutput& output) {
  const TrainingExample example = objective_->prepare(batch);
  return runner_->forward_backward(
      example.x_t, example.t, example.condition, [&](const at::Tensor& prediction) {
        const at::Tensor losses = objective_->loss(prediction, example);
        output.losses.push_back(losses.detach());
        return losses.sum() / static_cast<double>(batches_.global_batch);
      });
}

/// May be recorded: nothing in here waits for the host or depends on the step but through tensors.
StatusOr<StepOutput> TrainStep::iterate(const BatchSource& next) {
  StepOutput output;
  engine_->begin_step(batches_.accumulation);
  for (int64_t i = 0; i < batches_.accumulation; ++i) {
    TITAN_ASSIGN_OR_RETURN(const Batch batch, next());
    engine_->begin_micro_batch(i);
    const at::Tensor loss = micro_batch(batch, output);
    output.loss = output.loss.defined() ? output.loss + loss : loss;
  }
  {
    const TraceSpan span("finish reduction");
    engine_->finish();
  }
  const TraceSpan span("optimizer");
  output.loss = output.loss * static_cast<double>(dp_size_);
  output.grad_norm =
      optim::global_grad_norm(engine_->parameters().units(),
                              [&](const at::Tensor& sum) { engine_->sum_over_shards_(sum); });
  output.skip = FiniteGuard::unusable(output.grad_norm);
  optimizer_->step(
      state_, max_norm_ > 0 ? optim::clip_coefficient(output.grad_norm, max_norm_) : at::Tensor(),
      output.skip, ema_.get());
  return output;
}

StatusOr<StepResult> TrainStep::run(int64_t number, double lr,
                                    const std::function<StatusOr<Batch>()>& next_batch,
                                    FiniteGuard* guard) {
  state_.begin(number, lr, ema_ ? ema_->share(number) : 0);
  std::vector<at::Tensor> samples;  // on the CPU
  const BatchSource next = [&]() -> StatusOr<Batch> {
    TITAN_ASSIGN_OR_RETURN(Batch batch, next_batch());
    samples.push_back(batch.sample);
    bring(batch, device_, encoder_);
    return batch;
  };
  TITAN_ASSIGN_OR_RETURN(const StepOutput output, steps_->run(next));
  if (guard != nullptr) {
    std::vector<FiniteGuard::MicroBatch> batches;
    for (std::size_t i = 0; i < samples.size(); ++i)
      batches.push_back({samples[i], output.losses[i]});
    guard->note(number, output.skip, std::move(batches));
  }
  return StepResult{output.loss, output.grad_norm, lr};
}

}  // namespace titan
