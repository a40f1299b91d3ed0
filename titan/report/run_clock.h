// run_clock.h: how long a run has lasted at each line of its metrics.jsonl.
#pragma once

#include <cstdint>
#include <optional>

namespace titan::report {

/// Adds up the time between train lines. Left out: the break before a restart, and jumps of the
/// machine's clock, back or far ahead of what steps and pauses explain.
class RunClock {
 public:
  /// An evaluation, a checkpoint, ... of `seconds` lies before the next train line (NaN = unknown).
  void pause(double seconds);
  /// A train line written at `time` (seconds since 1970; nothing in a file of an older version),
  /// whose steps took `training_s` (NaN = unknown). Returns hours since the start.
  double advance(std::optional<double> time, double training_s);
  /// A process goes on with the run at `time`.
  void restart(std::optional<double> time);

  /// Whether some of it is the sum of the steps' own times, for want of `time`.
  bool estimated() const { return estimated_; }
  bool jumped() const { return jumped_; }

 private:
  double seconds_ = 0;
  double pauses_s_ = 0;
  std::optional<double> last_ = {};
  bool estimated_ = false;
  bool jumped_ = false;
};

}  // namespace titan::report
