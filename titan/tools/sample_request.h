// sample_request.h: the command line of `titan sample`: a run folder, options, settings of the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/tools/arguments.h"
#include "titan/train/run_info.h"

namespace titan {

struct SampleRequest {
  Arguments options;
  JobConfig config;  ///< the run's, with the settings given
  RunInfo info;
  std::filesystem::path run;
  bool check_shapes = false;
  std::vector<std::string> prompts = {};  ///< of --prompt and --prompts, in this order
  bool count_given = false;               ///< sampling.num_samples stands on the command line

  /// Of each guidance scale: one of each prompt, unless the command line says how many.
  int64_t num_pictures() const {
    return prompts.empty() || count_given ? config.sampling.num_samples
                                          : static_cast<int64_t>(prompts.size());
  }
};

/// kInvalidArgument for an unknown option or setting, no run folder, or a file without prompts.
StatusOr<SampleRequest> read_sample_request(std::vector<std::string> args);

}  // namespace titan
