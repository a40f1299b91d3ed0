#include "titan/data/fetch_progress.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/base/printable.h"

namespace titan {

Status for_each_parallel(std::size_t count, std::size_t threads,
                         const std::function<Status(std::size_t)>& work) {
  std::mutex mutex;
  std::size_t next = 0;
  Status first_problem;
  const auto run = [&] {
    for (;;) {
      std::size_t mine = 0;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (next == count || !first_problem.ok()) return;
        mine = next++;
      }
      const Status status = work(mine);
      const std::lock_guard<std::mutex> lock(mutex);
      if (!status.ok() && first_problem.ok()) first_problem = status;
    }
  };
  {
    std::vector<std::jthread> workers;
    for (std::size_t i = 1; i < std::min(count, threads); ++i) workers.emplace_back(run);
    run();
  }
  return first_problem;
}

void FetchProgress::Item::at(std::uint64_t bytes) {
  // The first piece of a part that goes on carries what lay here before: no speed of ours.
  const std::uint64_t more = bytes > seen_ ? bytes - seen_ : 0;
  all_.add(more, began_ ? more : std::min<std::uint64_t>(more, 1 << 20), 0);
  seen_ = std::max(seen_, bytes);
  began_ = true;
}

void FetchProgress::Item::done(std::uint64_t bytes) {
  all_.add(bytes > seen_ ? bytes - seen_ : 0, 0, 1);
  seen_ = std::max(seen_, bytes);
}

void FetchProgress::add(std::uint64_t here, std::uint64_t transferred, std::size_t tars) {
  const std::lock_guard<std::mutex> lock(mutex_);
  done_bytes_ += here;
  transferred_bytes_ += transferred;
  done_tars_ += tars;
  const auto now = Clock::now();
  if (now - last_ < std::chrono::seconds(5)) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double speed = static_cast<double>(transferred_bytes_) / seconds;
  const auto left =
      static_cast<double>(total_bytes_ > done_bytes_ ? total_bytes_ - done_bytes_ : 0);
  TITAN_LOG(INFO) << "[shards] " << done_tars_ << " of " << num_tars_ << " tars, "
                  << human_bytes(static_cast<double>(done_bytes_)) << " of "
                  << human_bytes(static_cast<double>(total_bytes_)) << ", " << human_bytes(speed)
                  << "/s, " << human_duration(speed > 0 ? left / speed : -1) << " left";
}

DownloadProgress slow_download_lines(const std::string& name,
                                     std::optional<std::uint64_t> total_bytes) {
  struct Seen {
    std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
    std::optional<std::uint64_t> bytes;  ///< at `last`
  };
  return [=, seen = Seen()](std::uint64_t bytes) mutable {
    const auto now = std::chrono::steady_clock::now();
    if (!seen.bytes) seen = {now, bytes};  // what an earlier run had left is no speed of ours
    const double seconds = std::chrono::duration<double>(now - seen.last).count();
    if (seconds < 5) return;
    const double speed =
        static_cast<double>(bytes > *seen.bytes ? bytes - *seen.bytes : 0) / seconds;
    seen = {now, bytes};
    const std::uint64_t total = total_bytes.value_or(0);
    const double left = total > bytes ? static_cast<double>(total - bytes) : 0;
    TITAN_LOG(INFO) << "[shards] " << printable(name) << ": "
                    << human_bytes(static_cast<double>(bytes)) << " of "
                    << (total > 0 ? human_bytes(static_cast<double>(total)) : "an unknown size")
                    << ", " << human_bytes(speed) << "/s, "
                    << human_duration(total > 0 && speed > 0 ? left / speed : -1) << " left";
  };
}

}  // namespace titan
