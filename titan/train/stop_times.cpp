#include "titan/train/stop_times.h"

#include <algorithm>

namespace titan {
namespace {

constexpr double kAssumedBytesPerS = 200e6;  // one slow disk for all ranks of a host
constexpr double kReserve = 1.5;             // what was measured may take half as long again
constexpr double kEnd_s = 5;      // ranks part, LibTorch is taken down: 2 s on two busy cores
constexpr double kForget = 0.98;  // of the longest step, a step: 50 steps later it is a third

}  // namespace

StopTimes::StopTimes(double margin_s, double save_bytes, bool saves)
    : margin_s_(margin_s), saves_(saves), save_s_(save_bytes / kAssumedBytesPerS) {}

void StopTimes::step(double seconds) { step_s_ = std::max(seconds, kForget * step_s_); }

void StopTimes::save(double seconds, bool complete) {
  save_s_ = complete ? seconds : std::max(seconds, save_s_);
}

double StopTimes::needed_s(const Ahead& ahead) const {
  if (margin_s_ > 0) return margin_s_;
  double needed = saves_ ? save_s_ : 0;
  if (ahead.step) needed += step_s_;
  if (ahead.evaluation) needed += evaluation_s_;
  if (ahead.pictures) needed += pictures_s_;
  if (ahead.checkpoint) needed += save_s_;
  return kReserve * needed + kEnd_s;
}

}  // namespace titan
