// between_steps.h: what follows a training step: evaluation, pictures, a checkpoint; and what is
// left of it when the run is to stop meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "titan/metrics/metrics_processor.h"
#include "titan/train/mlperf_log.h"
#include "titan/train/put_off.h"
#include "titan/train/resume.h"
#include "titan/train/run_evaluation.h"
#include "titan/train/run_pictures.h"
#include "titan/train/run_watch.h"
#include "titan/train/stop_request.h"
#include "titan/train/stop_times.h"
#include "titan/train/train_step.h"

namespace titan {

/// What it works with; all outlive it.
struct BetweenStepsParts {
  const JobConfig& config;
  TrainStep& training;
  const RunEvaluation& evaluation;
  const RunPictures& pictures;
  ResumePoint& resume;
  metrics::MetricsProcessor& metrics;
  MlperfLog& mlperf;
  RunWatch& watch;
  StopRequest& stop;
  StopTimes& times;
};

/// All ranks call everything. `step`: done so far; `cursor`: global samples consumed.
class BetweenSteps {
 public:
  explicit BetweenSteps(const BetweenStepsParts& parts) : parts_(parts) {}

  /// What is due after `step`, checkpoints left out.
  PutOff due(int64_t step) const;
  /// What of `put_off` is still wanted: settings may have changed.
  PutOff still_due(int64_t step, const PutOff& put_off) const;
  /// Does `due`, as far as the run is not to stop: metrics.jsonl notes what is left.
  Status work(int64_t step, int64_t cursor, const PutOff& due);
  /// Writes a checkpoint; with `last` as the run's end wants it, unless something is left to do.
  Status save(int64_t step, int64_t cursor, bool last);
  /// Whether to stop before the next step.
  bool stop_agreed(int64_t step);

  /// What is left after work().
  const PutOff& left() const { return left_; }
  /// The evaluation loss that has met the target.
  std::optional<double> target_met() const { return target_met_; }

 private:
  Status evaluate(int64_t step, int64_t cursor);
  Status draw(int64_t step, const std::function<Status()>& pictures);
  bool stop_now() { return parts_.stop.agreed(parts_.times.needed_s({})); }

  BetweenStepsParts parts_;
  PutOff left_;
  std::optional<double> target_met_;
};

/// What an earlier process of this run has put off after `step`, the one it resumes from. All ranks
/// call.
PutOff put_off_before(const TrainerContext& context, int64_t step);

}  // namespace titan
