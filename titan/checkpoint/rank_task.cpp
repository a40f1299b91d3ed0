#include "titan/checkpoint/rank_task.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace titan::checkpoint {
namespace {

constexpr const char* kWorking = "working";  // no status text: those begin with a number

Status run_guarded(const RankTask::Work& work, const std::atomic<bool>& cancel) {
  try {
    return work(cancel);
  } catch (const std::exception& error) {
    return internal_error(error.what());
  }
}

}  // namespace

RankTask::RankTask(RankGroup ranks, Work work)
    : ranks_(std::move(ranks)), thread_([this, work = std::move(work)] {
        Status status = run_guarded(work, cancel_);
        const std::lock_guard<std::mutex> lock(mutex_);
        result_ = std::move(status);
        ended_.notify_all();
      }) {}

RankTask::~RankTask() { join(); }

void RankTask::join() {
  cancel_ = true;
  if (thread_.joinable()) thread_.join();
}

std::optional<Status> RankTask::result(std::chrono::milliseconds wait) {
  std::unique_lock<std::mutex> lock(mutex_);
  ended_.wait_for(lock, wait, [&] { return result_.has_value(); });
  return result_;
}

std::optional<Status> RankTask::poll(std::chrono::milliseconds wait) {
  const std::optional<Status> mine = result(wait);
  const auto texts = ranks_.gather(mine ? status_text(*mine) : kWorking);
  if (!texts.ok()) return texts.status();
  bool working = false;
  for (std::size_t r = 0; r < texts->size(); ++r) {
    if ((*texts)[r] == kWorking) {
      working = true;
      continue;
    }
    const Status status = status_of_text((*texts)[r]);
    if (status.ok()) continue;
    join();
    // Nobody goes on while another still works: what all wrote can then be taken away.
    const auto all_ended = ranks_.gather("");
    if (!all_ended.ok()) return all_ended.status();
    return texts->size() == 1 ? status : annotate(status, str_cat("[checkpoint] rank ", r));
  }
  if (working) return std::nullopt;
  return ok_status();
}

Status RankTask::finish() {
  constexpr std::chrono::milliseconds kLongest{500};
  std::chrono::milliseconds wait{2};
  while (true) {
    const std::optional<Status> outcome = poll(wait);
    if (outcome) return *outcome;
    wait = std::min(2 * wait, kLongest);
  }
}

Status run_on_first_rank(const RankGroup& ranks, const std::function<Status()>& work) {
  RankTask task(ranks,
                [&](const std::atomic<bool>&) { return ranks.is_first() ? work() : ok_status(); });
  return task.finish();
}

}  // namespace titan::checkpoint
