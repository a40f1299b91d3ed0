// call_queue.h: the collectives of a group, one after another.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace titan::parallel {

/// Calls in the order in which they were added, by a thread of its own or by one that waits for a
/// call: that saves the way to the other thread and back. Calls that nobody began before the queue
/// ends are never made.
class CallQueue {
 public:
  struct Call {
    std::function<void()> work;
    bool done = false;
    std::exception_ptr error = {};
  };

  CallQueue();
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  std::shared_ptr<Call> add(std::function<void()> work);
  /// Returns when the call is done; throws what it threw.
  void wait(const Call& call);
  bool done(const Call& call);

 private:
  void serve();
  void run_next(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Call>> waiting_;
  bool running_ = false;
  bool stop_ = false;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace titan::parallel
