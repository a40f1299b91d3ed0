// replay_request.h: from the command line of `titan replay` to the settings of a job that repeats
// one step. No torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct ReplayRequest {
  std::string run;     ///< the run folder
  std::string output;  ///< where statistics go once the replay is complete
  std::string work;    ///< a folder in it, of the replay while it runs
  int64_t step = 0;
  std::optional<int64_t> sample;
  std::string against;    ///< statistics to compare with; empty = none
  int64_t from_step = 0;  ///< of the checkpoint to start from; 0 = the seed
  int64_t run_world_size = 1;
  std::vector<std::string> settings;  ///< of the job, as `train` takes them
};

/// Finds the newest checkpoint before the step. Errors: no run folder, a step outside of the run,
/// an unknown option, an output that is a run's folder, nothing to compare with.
StatusOr<ReplayRequest> read_replay_request(const std::vector<std::string>& args);

}  // namespace titan
