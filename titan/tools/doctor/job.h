// job.h: a job's settings, data, model and checkpoints checked against each other and against this
// machine, without its memory. Nothing is written.
#pragma once

#include <c10/core/Device.h>

#include "titan/base/rank_env.h"
#include "titan/config/job_config.h"
#include "titan/tools/doctor/disk.h"
#include "titan/tools/doctor/finding.h"
#include "titan/tools/doctor/link_figures.h"

namespace titan::doctor {

/// The machine as the job meets it.
struct JobPlace {
  RankEnv rank = {};
  c10::Device device = c10::kCPU;
  int threads = 1;
  std::int64_t memory_available =
      0;  ///< on this rank's device, or its share of the host's; 0 = unknown
  const LinkFigures* links = nullptr;  ///< null with one rank
};

/// Layout, data set, its shape against the model's, encoders, evaluation set, memory, the newest
/// checkpoint, predicted scaling; `needs` gets what checkpoints will take. One rank calls. A check
/// whose ground is missing (no data, no model) is left out.
void check_job(const JobConfig& config, const JobPlace& place, Section& section,
               CheckpointNeeds& needs);

/// Bytes of the checkpoints that a step of the job leaves, counted from the model's parameters.
struct StateSize {
  std::int64_t parameters = 0;
  bool averages = false;
  std::int64_t moment_bytes = 4;  ///< of one element of a moment
};
std::int64_t checkpoint_bytes(const StateSize& state);

}  // namespace titan::doctor
