// job_main.h: what the programs of a job have in common, from argv to exit code: settings, ranks,
// device, failures.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/rank_env.h"
#include "titan/base/status.h"
#include "titan/config/job_config.h"

namespace titan {

namespace parallel {
class ProcessGroupGuard;
}

/// What a rank of a job is given; all outlive it.
struct JobContext {
  const JobConfig& config;                    ///< resolved and validated
  const RankEnv& rank;                        ///< this process among the ranks
  c10::Device device;                         ///< that this rank computes on
  parallel::ProcessGroupGuard& ranks;         ///< all ranks; a group of one for a single process
  const std::vector<std::string>& arguments;  ///< of the program, for run.json
};

/// How a job ended that did not fail.
enum class JobOutcome {
  kDone,     ///< nothing is left to do
  kStopped,  ///< a signal came (signals.h); what was done is kept, the same command goes on
};

/// A program whose work is a job.
struct JobProgram {
  std::string name;            ///< for --help
  std::string default_config;  ///< where the command line names none
  int leading_words = 0;       ///< of argv, behind the program, that are no settings (a verb)
  /// What is read as settings instead of argv, for a verb with options of its own.
  std::optional<std::vector<std::string>> settings = {};
  /// On every rank. A status that is not ok ends the job with its exit code.
  std::function<StatusOr<JobOutcome>(const JobContext&)> run;
};

/// Starts NGPU ranks of this program where NGPU > 1 and no launcher has set rank variables. Exit
/// codes: 0 done, 2 bad input, 3 stopped by a signal, 128 + n on a second signal n, 1 anything
/// else.
int job_main(int argc, char** argv, const JobProgram& program);

}  // namespace titan
