// rank_task.h: work that every rank does in the background, and its common end. No torch.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "titan/base/status.h"
#include "titan/checkpoint/rank_group.h"

namespace titan::checkpoint {

/// A thread on each rank; the ranks talk in poll() and finish() alone, never from the threads.
class RankTask {
 public:
  /// `work` must end soon once `cancel` is true. Not collective: starts this rank's thread.
  using Work = std::function<Status(const std::atomic<bool>& cancel)>;
  RankTask(RankGroup ranks, Work work);
  /// Cancels the work and waits for its end.
  ~RankTask();
  RankTask(const RankTask&) = delete;
  RankTask& operator=(const RankTask&) = delete;

  /// Collective. Waits for this rank's work at most `wait`, then compares notes: nothing while some
  /// rank still works; ok when all have done theirs; else the first failure (RankGroup::agree).
  /// After a failure the work of every rank has been cancelled and has ended.
  std::optional<Status> poll(std::chrono::milliseconds wait);
  /// Collective. polls until there is an outcome: short messages all the while, so that no rank
  /// waits longer than the communicators' timeout however long the work takes.
  Status finish();

 private:
  std::optional<Status> result(std::chrono::milliseconds wait);
  void join();

  RankGroup ranks_;
  std::atomic<bool> cancel_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::optional<Status> result_;
  std::thread thread_;
};

/// Runs the work on the first rank alone; all ranks return its status.
Status run_on_first_rank(const RankGroup& ranks, const std::function<Status()>& work);

}  // namespace titan::checkpoint
