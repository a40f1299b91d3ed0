#include "titan/io/remote/http_retry.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"

namespace titan {
namespace {

using Clock = std::chrono::steady_clock;

/// Between half and all of `pause_s`: clients that failed together do not come back together.
double with_jitter(double pause_s) {
  thread_local std::minstd_rand generator(std::random_device{}());
  return pause_s * std::uniform_real_distribution<double>(0.5, 1.0)(generator);
}

/// False where the wait was cancelled.
bool sleep_unless_cancelled(double pause_s, const std::atomic<bool>* cancelled) {
  using Seconds = std::chrono::duration<double>;
  const auto end = Clock::now() + Seconds(pause_s);
  for (auto now = Clock::now(); now < end; now = Clock::now()) {
    if (cancelled != nullptr && cancelled->load()) return false;
    std::this_thread::sleep_for(std::min(Seconds(0.05), Seconds(end - now)));
  }
  return true;
}

}  // namespace

HttpOutcome retry_http(const HttpRequest& request, const HttpOptions& options,
                       const std::function<HttpAttempt(double time_left_s)>& attempt) {
  const auto start = Clock::now();
  const auto spent_s = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  const std::string speaker = "[http] " + request.name() + ": ";
  double next_pause_s = options.first_pause_s;
  std::string cause_before;  // of the attempt before the last
  for (int attempts = 1;; ++attempts) {
    auto [outcome, got_on] = attempt(options.deadline_s - spent_s());
    if (outcome.status.ok()) return outcome;
    const auto give_up = [&](const std::string& why) {
      outcome.status =
          Status(outcome.status.code(), str_cat(speaker, message_of(outcome.status), why));
      return outcome;
    };
    if (!outcome.transient) return give_up("");
    if (got_on) next_pause_s = options.first_pause_s;
    const double pause_s = std::max(with_jitter(next_pause_s), outcome.answer.retry_after_s);
    next_pause_s = std::min(2 * next_pause_s, options.max_pause_s);
    if (spent_s() >= options.deadline_s && !cause_before.empty())
      // The deadline itself cut this attempt short: that is not why there is no file.
      outcome.status = Status(outcome.status.code(),
                              str_cat(cause_before, ", then ", message_of(outcome.status)));
    if (spent_s() + pause_s >= options.deadline_s)
      return give_up(
          str_cat(outcome.answer.retry_after_s > 0
                      ? str_cat(" and asks to wait ", human_duration(outcome.answer.retry_after_s))
                      : "",
                  "; given up after ", attempts, attempts == 1 ? " attempt" : " attempts", " in ",
                  human_duration(spent_s()), " (dataset.remote_deadline_s is ",
                  human_duration(options.deadline_s), ")"));
    cause_before = message_of(outcome.status);
    TITAN_LOG(WARNING) << speaker << cause_before << "; attempt " << attempts + 1 << " in "
                       << human_duration(pause_s);
    if (!sleep_unless_cancelled(pause_s, options.cancelled)) {
      outcome.status = Status(absl::StatusCode::kCancelled, speaker + "the transfer was cancelled");
      return outcome;
    }
  }
}

}  // namespace titan
