// sample_request.h: the command line of `titan sample`: a run folder, options, settings of the run.
#pragma once

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
};

/// kInvalidArgument for an unknown option or setting, or no run folder.
StatusOr<SampleRequest> read_sample_request(const std::vector<std::string>& args);

}  // namespace titan
