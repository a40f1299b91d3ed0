// failure_watch.h: one rank's failure ends all ranks. The failing rank writes its cause into the
// store; a thread on each other rank reads it there and ends its process, which may be blocked in a
// collective that will never finish (Gloo's abort() does nothing, and a hung peer costs the full
// timeout).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <torch/csrc/distributed/c10d/Store.hpp>

namespace titan::parallel {

/// Why the job ends: the first rank to fail.
struct RankFailure {
  int rank = 0;
  int exit_code = 1;
  std::string cause;

  /// "rank 2 failed: ..."; a stall names its ranks itself.
  std::string text() const;
};

/// Writes the failure unless another rank was first; returns the first.
RankFailure post_failure(c10d::Store& store, const RankFailure& failure);
/// The failure that was posted, if any.
std::optional<RankFailure> read_failure(c10d::Store& store);
/// Waits until every other rank's watch (but those of `deaf`) has seen the failure, or the time is
/// up. The rank that serves the store does this before it exits, for the store goes with it.
void await_witnesses(c10d::Store& store, int rank, int world_size, std::chrono::milliseconds limit,
                     const std::vector<int>& deaf = {});

/// Polls the store in a thread of its own until it is destroyed.
class FailureWatch {
 public:
  using OnFailure = std::function<void(const RankFailure&)>;

  /// `store`: a connection of its own (calls on a shared one would wait behind a blocking get).
  /// `on_failure` runs on the watch's thread, once, for the failure of another rank or for the loss
  /// of the store (rank = 0); it normally ends the process.
  FailureWatch(c10::intrusive_ptr<c10d::Store> store, int rank, OnFailure on_failure,
               std::chrono::milliseconds interval = std::chrono::milliseconds(200));
  ~FailureWatch();
  FailureWatch(const FailureWatch&) = delete;
  FailureWatch& operator=(const FailureWatch&) = delete;

 private:
  void watch();
  std::optional<RankFailure> poll();

  c10::intrusive_ptr<c10d::Store> store_;
  int rank_;
  OnFailure on_failure_;
  std::chrono::milliseconds interval_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace titan::parallel
