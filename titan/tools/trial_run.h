// trial_run.h: the train program, run by another program for a few steps. No torch.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// train, beside this executable.
std::string train_program();

/// One run of train on `world` ranks of this host; its output goes to a file.
class TrialRun {
 public:
  /// kInternal where it cannot be started.
  static StatusOr<TrialRun> start(const std::vector<std::string>& arguments, int64_t world,
                                  const std::string& log_path);
  ~TrialRun();
  TrialRun(TrialRun&& other) noexcept;
  TrialRun& operator=(TrialRun&&) = delete;

  /// Whether it has ended.
  bool ended();
  /// SIGKILL to all its processes, at once: nothing can be tidied up.
  void kill_all();
  /// Waits for the end; an error with the last lines of the output where the exit code is not 0.
  Status wait();

 private:
  TrialRun(pid_t pid, std::string log_path) : pid_(pid), log_path_(std::move(log_path)) {}

  pid_t pid_ = -1;  ///< leader of a session of its own; -1 once waited for
  int status_ = 0;
  std::string log_path_;
};

}  // namespace titan
