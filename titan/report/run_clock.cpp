#include "titan/report/run_clock.h"

#include <cmath>
#include <utility>

namespace titan::report {
namespace {

/// A clock that is this far ahead of what the steps' own times explain has been set.
constexpr double kUnexplainedSeconds = 3600;
constexpr double kUnexplainedFactor = 10;

}  // namespace

void RunClock::pause(double seconds) {
  if (std::isfinite(seconds) && seconds > 0) pauses_s_ += seconds;
}

double RunClock::advance(std::optional<double> time, double training_s) {
  const bool known = std::isfinite(training_s) && training_s >= 0;
  const double explained_s = (known ? training_s : 0) + std::exchange(pauses_s_, 0.0);
  double passed_s =
      explained_s;  // what lies before the first line, or between lines without a time
  if (time && last_) {
    const double by_clock = *time - *last_;
    const bool ahead = known && by_clock > kUnexplainedSeconds + kUnexplainedFactor * explained_s;
    if (by_clock < 0 || ahead) {
      jumped_ = true;
    } else {
      passed_s = by_clock;
    }
  }
  if (!time) estimated_ = true;
  last_ = time;
  seconds_ += passed_s;
  return seconds_ / 3600;
}

void RunClock::restart(std::optional<double> time) {
  last_ = time;
  pauses_s_ = 0;
}

}  // namespace titan::report
