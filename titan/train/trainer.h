// trainer.h: one training run on one rank. Set-up in create(), the loop in train().
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>
#include <vector>

#include "titan/base/rank_env.h"
#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/train/job_main.h"

namespace titan {

namespace parallel {
class ProcessGroupGuard;
}
class RunFolder;
class StepObserver;

/// What a trainer is given; all outlive it.
struct TrainerContext {
  const JobConfig& config;  ///< resolved and validated
  const RankEnv& rank;      ///< this process among the ranks
  c10::Device device;       ///< that this rank computes on
  parallel::ProcessGroupGuard&
      ranks;                    ///< all ranks of the job; a group of one for a single process
  const RunFolder& run_folder;  ///< rank 0 writes there
  const std::vector<std::string>& arguments;  ///< of the program, for run.json
  StepObserver* observer = nullptr;           ///< looks on between steps; null = nobody
};

/// The loop: batch, step, metrics, evaluation, pictures, checkpoint.
class Trainer {
 public:
  /// Builds model, data, optimizer; resumes from the newest checkpoint where there is one.
  static StatusOr<std::unique_ptr<Trainer>> create(const TrainerContext& context);
  virtual ~Trainer() = default;

  /// Trains until training.steps, or a signal: then a checkpoint was written where they are on.
  virtual StatusOr<JobOutcome> train() = 0;
};

}  // namespace titan
