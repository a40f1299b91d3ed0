#include "titan/train/run_evaluation.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "titan/base/log.h"
#include "titan/metrics/jsonl.h"
#include "titan/parallel/process_group.h"
#include "titan/train/graphed_step.h"
#include "titan/train/run_folder.h"

namespace titan {
namespace {
constexpr std::chrono::seconds kProgressInterval{30};
}  // namespace

StatusOr<std::unique_ptr<RunEvaluation>> RunEvaluation::open(const TrainerContext& context,
                                                             const ModelSpec& spec,
                                                             const DataShape& train_shape,
                                                             const RunEncoder* encoder,
                                                             int64_t global_batch) {
  const JobConfig& config = context.config;
  std::unique_ptr<RunEvaluation> evaluation(new RunEvaluation(context));
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const Dataset> data,
                         open_evaluation_data(config, spec, train_shape));
  if (!data) return evaluation;
  evaluation->evaluator_ = std::make_unique<Evaluator>(
      data, EvaluatorOptions{.batch_size = config.eval.batch_size,
                             .num_samples = config.eval.subset_size.value_or(0),
                             .seed = static_cast<std::uint64_t>(config.eval.seed),
                             .num_workers = config.dataset.num_workers,
                             .device = context.device,
                             .encoder = encoder,
                             .make_graph = [&config, device = context.device] {
                               return make_step_graph(config, device);
                             }});
  evaluation->steps_between_ = steps_between_evaluations(config.eval.eval_freq, global_batch);
  TITAN_LOG(INFO) << "[eval] " << *config.eval.dataset << ": " << evaluation->num_samples()
                  << " samples every " << evaluation->steps_between_ << " steps ("
                  << evaluation->steps_between_ * global_batch << " training samples)"
                  << (config.eval.target_eval_loss > 0
                          ? str_cat("; training ends at a loss of ", config.eval.target_eval_loss)
                          : "");
  return evaluation;
}

StatusOr<EvaluationResult> RunEvaluation::run(BlockRunner& runner, const Objective& objective,
                                              const std::function<bool()>& stop) const {
  auto last_said = std::chrono::steady_clock::now();
  const auto progress = [&](int64_t done, int64_t all) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_said < kProgressInterval) return;
    last_said = now;
    TITAN_LOG(INFO) << "[eval] " << done << " of " << all << " samples";
  };
  return evaluator_->run(runner, objective, context_.ranks.control(), progress, stop);
}

bool RunEvaluation::meets_target(const EvaluationResult& result) const {
  const double target = context_.config.eval.target_eval_loss;
  return target > 0 && result.loss <= target;
}

metrics::EvalRecord eval_record(const EvaluationResult& result, int64_t step,
                                int64_t train_samples) {
  metrics::EvalRecord record{.step = step, .samples = result.samples, .seconds = result.seconds};
  if (std::isfinite(result.loss)) record.loss = result.loss;
  record.values.emplace_back("train_samples", static_cast<double>(train_samples));
  for (std::size_t k = 0; k < result.timestep_loss.size(); ++k) {
    if (result.timestep_count[k] > 0)
      record.values.emplace_back(str_cat("loss_t", k), result.timestep_loss[k]);
  }
  return record;
}

std::optional<double> target_met_before(const TrainerContext& context, int64_t step) {
  double loss = 0;  // 0 = none
  const double target = context.config.eval.target_eval_loss;
  if (context.rank.is_main() && step > 0 && target > 0) {
    const std::optional<metrics::FoundEvent> event =
        metrics::find_event(context.run_folder.metrics_path().string(), "target");
    if (event && event->step == step && event->loss <= target) loss = event->loss;
  }
  loss = context.ranks.control().all_reduce_values({loss}, parallel::Reduction::kMax)[0];
  return loss > 0 ? std::optional(loss) : std::nullopt;
}

}  // namespace titan
