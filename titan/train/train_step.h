// train_step.h: one optimizer step of a job on this rank: forward, backward, reduction, clipping,
// update, averages.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "titan/base/status.h"
#include "titan/optim/adamw.h"
#include "titan/optim/ema.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/engine.h"
#include "titan/parallel/mesh_groups.h"
#include "titan/parallel/traced_hooks.h"
#include "titan/protocols/model_spec.h"
#include "titan/train/batch_plan.h"
#include "titan/train/finite_guard.h"
#include "titan/train/graphed_step.h"
#include "titan/train/run_encoder.h"

namespace titan {

/// What one optimizer step says of itself; tensors on the device.
struct StepResult {
  at::Tensor loss;       ///< [] mean over this rank's samples
  at::Tensor grad_norm;  ///< [] before clipping
  double lr = 0;
};

/// What a step is made for; all outlive it.
struct TrainStepContext {
  const JobConfig& config;
  const ModelSpec& spec;
  const DataShape& shape;
  const parallel::DeviceMesh& mesh;
  const parallel::OpenGroup& open;  ///< connects ranks
  at::Device device;
  const RunEncoder* encoder = nullptr;  ///< null where samples come encoded
  BatchPlan batches;
  std::uint64_t seed = 0;
  /// All ranks of the job, for small messages; null where there is one.
  parallel::Communicator* control = nullptr;
};

class TrainStep {
 public:
  /// Builds model, engine, objective, runner, optimizer and averages as the settings ask;
  /// parameters are filled from the seed. Every rank of the job calls.
  static StatusOr<std::unique_ptr<TrainStep>> create(const TrainStepContext& context);

  /// The global batch `number` (1, 2, ...) of the run, in micro-batches of `next_batch` (CPU
  /// tensors). A step whose gradients are not finite leaves weights and moments as they are;
  /// `guard`, if not null, takes note of it.
  StatusOr<StepResult> run(int64_t number, double lr,
                           const std::function<StatusOr<Batch>()>& next_batch, FiniteGuard* guard);

  Model& model() { return *model_; }
  BlockRunner& runner() { return *runner_; }
  const Objective& objective() const { return *objective_; }
  parallel::FlatParameters& parameters() { return engine_->parameters(); }
  optim::AdamW& optimizer() { return *optimizer_; }
  optim::Ema* ema() { return ema_.get(); }  ///< null without averages
  /// Whether the last step was a replay of the recorded one (graphed_step.h).
  bool replayed() const { return steps_->replayed(); }

 private:
  explicit TrainStep(const TrainStepContext& context)
      : device_(context.device),
        encoder_(context.encoder),
        batches_(context.batches),
        dp_size_(context.mesh.dp_size()),
        max_norm_(context.config.training.max_norm),
        state_(context.device) {}
  Status build(const TrainStepContext& context);
  StatusOr<StepOutput> iterate(const BatchSource& next);
  at::Tensor micro_batch(const Batch& batch, StepOutput& output);

  at::Device device_;
  const RunEncoder* encoder_;
  BatchPlan batches_;
  int64_t dp_size_;
  double max_norm_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<parallel::ParallelEngine> engine_;
  std::unique_ptr<parallel::TracedHooks> hooks_;
  std::unique_ptr<BlockRunner> runner_;
  std::unique_ptr<optim::AdamW> optimizer_;
  std::unique_ptr<optim::Ema> ema_;
  optim::StepState state_;
  std::unique_ptr<GraphedStep> steps_;
};

}  // namespace titan
