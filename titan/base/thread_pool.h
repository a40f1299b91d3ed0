// thread_pool.h: a fixed set of worker threads that run queued tasks in order of submission.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace titan {

/// Tasks must not throw; a task that does ends the process (std::terminate), so wrap what can fail.
class ThreadPool {
 public:
  /// `start` runs once on each worker first (thread-local set-up).
  explicit ThreadPool(std::size_t num_threads, std::function<void()> start = {});
  /// Drops queued tasks, waits for running ones.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void submit(std::function<void()> task);
  std::size_t num_threads() const { return threads_.size(); }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace titan
