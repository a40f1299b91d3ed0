// rank_process.h: one rank as a child process. No torch.
#pragma once

#include <sys/types.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/train/rank_output.h"

namespace titan {

/// How a child is started.
struct RankStart {
  int rank = 0;
  std::vector<std::string> arguments;              ///< argv of the child
  std::map<std::string, std::string> environment;  ///< added to this process's variables
  bool show_all = true;                            ///< see RankOutput
  bool inherit_stdout = false;  ///< writes to our stdout directly, not through a pipe
  bool inherit_stderr = false;
};

/// A pipe from a child: where it comes from and where it goes.
struct RankPipe {
  int read_end = -1;
  int target = -1;  ///< our stdout or stderr
  RankOutput output;
};

/// Runs this program's own executable again by posix_spawn, in a process group of its own: a
/// terminal's ^C reaches the launcher alone, which passes it on once. Closed and forgotten (not
/// killed) on destruction.
class RankProcess {
 public:
  static StatusOr<std::unique_ptr<RankProcess>> start(const RankStart& start);
  ~RankProcess();
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  int rank() const { return rank_; }
  pid_t pid() const { return pid_; }
  bool running() const { return running_; }
  /// Takes note if the child has ended; true at the change.
  bool reap();
  /// Exit code; for a child that a signal killed 1, see killed_by().
  int exit_code() const;
  /// Number of the signal that killed it, or 0.
  int killed_by() const;
  void send(int signal) const;

  std::vector<RankPipe>& pipes() { return pipes_; }
  /// Reads what is there and writes what is to be shown; false at the end of the stream.
  static bool forward(RankPipe& pipe);
  const HiddenLines& hidden() const { return hidden_; }

 private:
  explicit RankProcess(int rank) : rank_(rank) {}

  int rank_;
  pid_t pid_ = -1;
  bool running_ = false;
  int wait_status_ = 0;
  HiddenLines hidden_;
  std::vector<RankPipe> pipes_;
};

/// Writes all of it, whatever the reader's pace.
void write_fully(int target, const std::string& text);

}  // namespace titan
