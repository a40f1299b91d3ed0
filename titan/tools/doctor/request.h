// request.h: the command line of `titan doctor`. No torch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/loader.h"

namespace titan::doctor {

struct Request {
  bool help = false;
  std::string json = {};  ///< file for machines; empty = none
  /// The job to look at; nothing where none was named: the machine alone then.
  std::optional<JobConfig> job = {};
  std::string job_name = {};
  std::vector<std::string> warnings = {};  ///< of the loader
  /// Why a config that was found is no job: a finding, no bad argument.
  Status config_error = ok_status();
};

/// `--config NAME`, CONFIG and CONFIG_FILE name a job, `--section.key=value` changes it, `--json
/// FILE`. kInvalidArgument: an unknown option, a config that is not there, a setting of the command
/// line that is wrong by itself, a place for --json that cannot be written.
StatusOr<Request> read_request(const std::vector<std::string>& args);

}  // namespace titan::doctor
