// run_trace.h: a run's trace: when it is written, and who is told that nothing moves. No torch.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "titan/base/trace.h"
#include "titan/config/job_config.h"
#include "titan/metrics/trace_file.h"

namespace titan {

/// Makes its trace the thread's current one as long as it lives; the training thread owns it.
/// Without trace.enable nothing is recorded or written.
class RunTrace {
 public:
  /// `folder`: the run's trace/. A step in which nothing is entered for `stall_after` is a stall:
  /// it is reported and the trace written, once, by a thread of this object.
  RunTrace(const TraceSection& config, metrics::TraceOwner owner, std::string folder,
           std::chrono::milliseconds stall_after);
  ~RunTrace();
  RunTrace(const RunTrace&) = delete;
  RunTrace& operator=(const RunTrace&) = delete;

  void begin_step(int64_t step);
  /// Writes the trace where it is due (trace.write_at, SIGUSR2).
  void end_step();
  /// Writes the trace now, from any thread; an error is only logged.
  void write(const std::string& reason) noexcept;
  /// See Trace::exposed_share.
  double exposed_share() const { return trace_.exposed_share(); }

 private:
  void watch();

  TraceSection config_;
  metrics::TraceOwner owner_;
  std::string folder_;
  std::chrono::milliseconds stall_after_;
  Trace trace_;
  int64_t step_ = 0;
  std::atomic<bool> in_step_ = false;
  std::mutex write_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread watcher_;
};

}  // namespace titan
