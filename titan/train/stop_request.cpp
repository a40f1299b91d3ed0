#include "titan/train/stop_request.h"

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>

#include "titan/base/check.h"
#include "titan/parallel/communicator.h"

namespace titan {

bool StopRequest::agreed(double needed_s) {
  if (!reason_.empty()) return true;
  const int signal = signal_();
  const double left = deadline_.remaining_s();
  const bool late = ranks_.rank() == 0 && left < needed_s;
  // The lowest rank that was told, as a number that a maximum finds; then rank 0's time.
  const double told = signal != 0 ? ranks_.size() - ranks_.rank() : 0;
  const std::vector<double> all =
      ranks_.all_reduce_values({static_cast<double>(signal), told, late ? 1.0 : 0.0,
                                late ? left : -std::numeric_limits<double>::max()},
                               parallel::Reduction::kMax);
  const int number = static_cast<int>(all[0]);
  if (number != 0) {
    const char* const name = sigabbrev_np(number);
    reason_ = str_cat(
        "by ", name != nullptr ? str_cat("SIG", name) : str_cat("signal ", number),
        ranks_.size() > 1 ? str_cat(" (to rank ", ranks_.size() - std::llround(all[1]), ")") : "");
  } else if (all[2] > 0) {
    reason_ = str_cat("at the time limit (", deadline_.source(), ": ", std::llround(all[3]),
                      " s are left)");
  }
  return !reason_.empty();
}

}  // namespace titan
