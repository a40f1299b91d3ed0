// run_parts.h: what a training run consists of, put together in the order in which it must be.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "titan/data/dataloader.h"
#include "titan/metrics/metrics_processor.h"
#include "titan/parallel/device_mesh.h"
#include "titan/protocols/model_spec.h"
#include "titan/train/batch_plan.h"
#include "titan/train/between_steps.h"
#include "titan/train/finite_guard.h"
#include "titan/train/mlperf_log.h"
#include "titan/train/resume.h"
#include "titan/train/run_encoder.h"
#include "titan/train/run_evaluation.h"
#include "titan/train/run_pictures.h"
#include "titan/train/run_profiler.h"
#include "titan/train/run_watch.h"
#include "titan/train/stop_request.h"
#include "titan/train/stop_times.h"
#include "titan/train/train_step.h"
#include "titan/train/trainer.h"

namespace titan {

/// Members stand in the order in which they are made; later ones use earlier ones.
struct RunParts {
  /// Builds model, data, optimizer; resumes from the newest checkpoint where there is one. Every
  /// rank of the job calls.
  static StatusOr<std::unique_ptr<RunParts>> build(const TrainerContext& context);
  RunParts(const RunParts&) = delete;
  RunParts& operator=(const RunParts&) = delete;

  /// Nothing is left to do; of the members below `put_off` there are none then.
  bool finished() const {
    return (steps_before >= context.config.training.steps || target_met) && !put_off.any();
  }

  TrainerContext context;
  ModelSpec spec;
  std::optional<parallel::DeviceMesh> mesh;
  BatchPlan batches;
  std::shared_ptr<const Dataset> dataset;
  DataShape shape;
  std::unique_ptr<ResumePoint> resume;
  std::unique_ptr<RunEncoder> encoder;  ///< null where samples come encoded
  std::unique_ptr<TrainStep> training;
  int64_t steps_before = 0;          ///< optimizer steps of earlier processes
  int64_t samples_before = 0;        ///< global samples that those consumed
  std::optional<double> target_met;  ///< the evaluation loss that ended the run
  PutOff put_off;                    ///< by the process before this one, after its last step
  std::unique_ptr<RunEvaluation> evaluation;
  std::unique_ptr<MlperfLog> mlperf;
  std::unique_ptr<DataLoader> loader;
  std::unique_ptr<RunWatch> watch;
  std::optional<StopTimes> times;
  std::optional<StopRequest> stop;
  std::unique_ptr<RunProfiler> profiler;
  std::unique_ptr<titan::metrics::MetricsProcessor> metrics;
  std::unique_ptr<FiniteGuard> guard;
  std::unique_ptr<RunPictures> pictures;
  std::optional<BetweenSteps> between;

 private:
  explicit RunParts(const TrainerContext& of) : context(of) {}
  Status put_together(std::int64_t began_ms);
  Status build_data();
  Status build_model();
  Status restore();
  Status open_mlperf_log(std::int64_t began_ms);
  void open_watch();
  Status open_metrics();
};

}  // namespace titan
