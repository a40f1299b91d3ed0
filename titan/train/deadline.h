// deadline.h: when a job has to be over, on a clock that nobody sets. No torch.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "titan/base/status.h"
#include "titan/config/job_config.h"

namespace titan {

/// Seconds; both are the machine's unless a test gives others.
struct Clocks {
  std::function<double()> steady_s;  ///< since any moment; never jumps
  std::function<double()> wall_s;    ///< since 1970; somebody may set it
  static Clocks of_machine();
};

class Deadline {
 public:
  /// The end of the job that began at `began_s` of the steady clock: job.time_limit, or SLURM's end
  /// (SLURM_JOB_END_TIME, seconds since 1970) where it comes first; job.time_limit=0 means none,
  /// whatever SLURM says. The wall clock is read once, here: where it is set later, the end stays.
  /// A variable that is no time, or lies in the past, is ignored with a warning. `variable`: the
  /// environment.
  static Deadline of_job(const JobSection& job, double began_s, const Clocks& clocks,
                         const std::function<const char*(const char*)>& variable);

  bool set() const { return end_s_.has_value(); }
  /// Infinity where none is set.
  double remaining_s() const;
  /// "job.time_limit=1:00:00", "SLURM's end of the job".
  const std::string& source() const { return source_; }

 private:
  Clocks clocks_;
  std::optional<double> end_s_;  ///< of the steady clock
  std::string source_;
};

/// Seconds of the steady clock at which this job began: with the launcher that started this rank
/// (a restart does not begin anew), else with this process.
double job_began_s();
/// The variable in which a launcher hands down job_began_s(), and its value.
std::pair<std::string, std::string> job_began_variable();

}  // namespace titan
