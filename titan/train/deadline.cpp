#include "titan/train/deadline.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "titan/base/log.h"
#include "titan/config/time_limit.h"

namespace titan {
namespace {

constexpr const char* kSlurmEnd = "SLURM_JOB_END_TIME";
constexpr const char* kBegan = "TITAN_JOB_BEGAN";  // nanoseconds of the machine's steady clock

template <class Clock>
double seconds_of() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

std::optional<std::int64_t> whole_number(const char* text) {
  std::int64_t value = 0;
  const char* const end = text + std::strlen(text);
  const auto result = std::from_chars(text, end, value);
  return result.ec == std::errc() && result.ptr == end ? std::optional(value) : std::nullopt;
}

/// Seconds until SLURM ends the job; nothing where it does not say so.
std::optional<double> until_slurm_end(const Clocks& clocks, const char* text) {
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::optional<std::int64_t> end = whole_number(text);
  if (!end) {
    TITAN_LOG(WARNING) << "[train] " << kSlurmEnd << " is no time (\"" << text << "\"): ignored";
    return std::nullopt;
  }
  const double left = static_cast<double>(*end) - clocks.wall_s();
  if (left > 0) return left;
  TITAN_LOG(WARNING) << "[train] " << kSlurmEnd << "=" << text << " lies " << std::llround(-left)
                     << " s in the past: ignored";
  return std::nullopt;
}

}  // namespace

Clocks Clocks::of_machine() {
  return {seconds_of<std::chrono::steady_clock>, seconds_of<std::chrono::system_clock>};
}

Deadline Deadline::of_job(const JobSection& job, double began_s, const Clocks& clocks,
                          const std::function<const char*(const char*)>& variable) {
  Deadline deadline;
  deadline.clocks_ = clocks;
  const double now = clocks.steady_s();
  if (!job.time_limit.empty()) {
    const StatusOr<std::int64_t> limit = parse_time_limit(job.time_limit);
    if (!limit.ok() || *limit == 0) return deadline;  // validate() has refused what is no time
    deadline.end_s_ = began_s + static_cast<double>(*limit);
    deadline.source_ = "job.time_limit=" + job.time_limit;
  }
  const std::optional<double> left = until_slurm_end(clocks, variable(kSlurmEnd));
  if (left && (!deadline.end_s_ || now + *left < *deadline.end_s_)) {
    deadline.end_s_ = now + *left;
    deadline.source_ = "SLURM's end of the job";
  }
  return deadline;
}

double Deadline::remaining_s() const {
  return end_s_ ? *end_s_ - clocks_.steady_s() : std::numeric_limits<double>::infinity();
}

double job_began_s() {
  static const double own = seconds_of<std::chrono::steady_clock>();
  const char* const text = std::getenv(kBegan);
  const std::optional<std::int64_t> began = text == nullptr ? std::nullopt : whole_number(text);
  return began ? static_cast<double>(*began) / 1e9 : own;
}

std::pair<std::string, std::string> job_began_variable() {
  return {kBegan, std::to_string(std::llround(job_began_s() * 1e9))};
}

}  // namespace titan
