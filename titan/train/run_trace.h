// run_trace.h: a run's trace, and when it is written. No torch.
#pragma once

#include <mutex>
#include <string>

#include "titan/base/trace.h"
#include "titan/config/job_config.h"
#include "titan/metrics/trace_file.h"

namespace titan {

/// Makes its trace the thread's current one as long as it lives; the training thread owns it.
/// Without trace.enable nothing is recorded or written.
class RunTrace {
 public:
  /// `folder`: the run's trace/.
  RunTrace(const TraceSection& config, metrics::TraceOwner owner, std::string folder);
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

  bool enabled() const { return config_.enable; }
  /// From any thread.
  Trace::Activity last_activity() const { return trace_.last_activity(); }
  /// Name of a unit; empty for -1.
  std::string unit_name(int unit) const;

 private:
  TraceSection config_;
  metrics::TraceOwner owner_;
  std::string folder_;
  Trace trace_;
  int64_t step_ = 0;
  std::mutex write_mutex_;
};

}  // namespace titan
