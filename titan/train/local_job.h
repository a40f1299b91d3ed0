// local_job.h: the ranks of one attempt at a job on this host, from start to end. No torch.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/train/rank_process.h"

namespace titan {

/// How an attempt ended.
struct LocalJobEnd {
  int exit_code = 0;
  bool signalled = false;  ///< the launcher was told to stop
  std::string cause;       ///< of a failure: "rank 1 was killed by signal 9 (Killed)"
};

/// Blocks the signals that a launcher hands on to its ranks, for all attempts.
class LauncherSignals {
 public:
  static StatusOr<LauncherSignals> open();
  LauncherSignals(LauncherSignals&& other) noexcept;
  ~LauncherSignals();
  int descriptor() const { return descriptor_; }

 private:
  explicit LauncherSignals(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

class LocalJob {
 public:
  /// `environment` is added to that of every rank.
  LocalJob(const LauncherSignals& signals, std::vector<std::string> arguments, int num_ranks,
           std::map<std::string, std::string> environment);

  /// Starts the ranks and looks after them until the last one has ended.
  LocalJobEnd run();

 private:
  Status start_ranks();
  bool any_running() const;
  void wait_for_events();
  bool poll_once(int timeout_ms);
  void handle_signals();
  void note_end(RankProcess& rank);
  void end_others(int code, const std::string& cause);
  void drain();

  const LauncherSignals& signals_;
  std::vector<std::string> arguments_;
  int num_ranks_;
  std::map<std::string, std::string> environment_;
  std::vector<std::unique_ptr<RankProcess>> ranks_;
  bool failed_ = false;
  LocalJobEnd end_;
  std::chrono::steady_clock::time_point kill_at_ = std::chrono::steady_clock::time_point::max();
};

/// A line of the launcher's own.
void say_as_launcher(const std::string& text);

}  // namespace titan
