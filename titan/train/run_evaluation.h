// run_evaluation.h: when a run evaluates, what it says of it, and whether it has met its target.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "titan/metrics/sink.h"
#include "titan/protocols/model_spec.h"
#include "titan/train/evaluation.h"
#include "titan/train/trainer.h"

namespace titan {

class RunEvaluation {
 public:
  /// Opens [eval]'s data; without eval.dataset nothing is ever due.
  static StatusOr<std::unique_ptr<RunEvaluation>> open(const TrainerContext& context,
                                                       const ModelSpec& spec,
                                                       const DataShape& train_shape,
                                                       const RunEncoder* encoder,
                                                       int64_t global_batch);

  bool due(int64_t step) const { return evaluator_ && step % steps_between_ == 0; }
  /// Optimizer steps between evaluations; 0 = none.
  int64_t steps_between() const { return steps_between_; }
  /// Null without eval.dataset.
  std::shared_ptr<const Dataset> dataset() const {
    return evaluator_ ? evaluator_->dataset() : nullptr;
  }
  int64_t num_samples() const { return evaluator_ ? evaluator_->num_samples() : 0; }

  /// All ranks call; the model is in evaluation mode. Long passes tell their progress. `stop`: see
  /// Evaluator::run.
  StatusOr<EvaluationResult> run(BlockRunner& runner, const Objective& objective,
                                 const std::function<bool()>& stop) const;
  /// Whether the loss is at or below eval.target_eval_loss.
  bool meets_target(const EvaluationResult& result) const;

 private:
  explicit RunEvaluation(const TrainerContext& context) : context_(context) {}

  TrainerContext context_;
  std::unique_ptr<Evaluator> evaluator_;
  int64_t steps_between_ = 0;
};

/// The record of an evaluation after `step` steps and `train_samples` training samples.
metrics::EvalRecord eval_record(const EvaluationResult& result, int64_t step,
                                int64_t train_samples);

/// The evaluation loss with which an earlier process of this run met the target at `step` (a run
/// that ended at its target has steps left; started again it says so instead of going on). All
/// ranks call.
std::optional<double> target_met_before(const TrainerContext& context, int64_t step);

}  // namespace titan
