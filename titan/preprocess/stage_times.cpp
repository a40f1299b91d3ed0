#include "titan/preprocess/stage_times.h"

#include <algorithm>
#include <cstdio>

#include "titan/base/human.h"

namespace titan::preprocess {

void StageTimes::add(Kind kind, double seconds) {
  ns_[kind] += static_cast<std::int64_t>(seconds * 1e9);
}

std::string StageTimes::shares(double elapsed_s, int64_t decode_threads) const {
  const auto percent = [&](Kind kind, double per) {
    return 100 * seconds(kind) / std::max(1e-9, elapsed_s * per);
  };
  char text[200];
  std::snprintf(
      text, sizeof text,
      "busy: decode %.0f %% of %lld threads, encode %.0f %%, write %.0f %%; encode waited "
      "%.0f %% for decode, %.0f %% for write",
      percent(kDecode, static_cast<double>(decode_threads)), static_cast<long long>(decode_threads),
      percent(kEncode, 1), percent(kWrite, 1), percent(kWaitForDecode, 1),
      percent(kWaitForWrite, 1));
  return text;
}

Progress::Progress(int64_t total, int64_t done_before, double interval_s)
    : total_(total), done_before_(done_before), interval_(interval_s) {}

bool Progress::due() {
  const Clock::time_point now = Clock::now();
  if (now - last_ < interval_) return false;
  last_ = now;
  return true;
}

double Progress::elapsed_s() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

std::string Progress::line(int64_t done, double bytes) const {
  const double rate = static_cast<double>(done) / std::max(1e-9, elapsed_s());
  const int64_t all = done_before_ + done;
  char text[200];
  std::snprintf(
      text, sizeof text, "%lld of %lld samples (%.1f %%), %s samples/s, %s MB/s, %s left",
      static_cast<long long>(all), static_cast<long long>(total_),
      100.0 * static_cast<double>(all) / static_cast<double>(std::max<int64_t>(1, total_)),
      human_number(rate).c_str(), human_number(bytes / 1e6 / std::max(1e-9, elapsed_s())).c_str(),
      human_duration(rate > 0 ? static_cast<double>(total_ - all) / rate : -1).c_str());
  return text;
}

}  // namespace titan::preprocess
