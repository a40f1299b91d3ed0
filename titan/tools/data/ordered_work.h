// ordered_work.h: items made by several threads and used in their order by one.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

/// Calls `make(i)` -> StatusOr<std::optional<Item>> for i = first, first + 1, ... on `num_threads`
/// threads, and `use(i, Item)` -> StatusOr<bool> for each in order on the calling thread. Ends
/// where make has no item left (it may be asked for items behind that one), where use returns false
/// (items behind it are dropped), or at the first error of either, in order. At most 4 items a
/// thread wait to be used. An exception of `make` becomes an error.
template <class Item, class Make, class Use>
Status ordered_work(int64_t first, int64_t num_threads, const Make& make, const Use& use) {
  using Result = StatusOr<std::optional<Item>>;
  const int64_t window = 4 * num_threads;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::optional<Result>> slots(static_cast<std::size_t>(window));
  const auto slot = [&](int64_t i) -> std::optional<Result>& {
    return slots[static_cast<std::size_t>(i % window)];
  };
  int64_t next = first, used = first;
  bool stop = false;
  const auto guarded = [&](int64_t i) -> Result {
    try {
      return make(i);
    } catch (const std::exception& error) {
      return internal_error(error.what());
    }
  };
  const auto work = [&] {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stop || next < used + window; });
      if (stop) return;
      const int64_t mine = next++;
      lock.unlock();
      Result result = guarded(mine);
      lock.lock();
      slot(mine) = std::move(result);
      changed.notify_all();
    }
  };
  struct Team {  // whatever happens, the threads end before the state they share
    std::mutex& mutex;
    std::condition_variable& changed;
    bool& stop;
    std::vector<std::jthread> threads = {};
    ~Team() {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        stop = true;
      }
      changed.notify_all();
    }
  } team{mutex, changed, stop};
  for (int64_t i = 0; i < num_threads; ++i) team.threads.emplace_back(work);
  for (int64_t i = first;; ++i) {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return slot(i).has_value(); });
    Result result = *std::exchange(slot(i), std::nullopt);
    used = i + 1;
    lock.unlock();
    changed.notify_all();
    TITAN_RETURN_IF_ERROR(result.status());
    if (!result->has_value()) return ok_status();
    TITAN_ASSIGN_OR_RETURN(const bool more, use(i, *std::move(*result)));
    if (!more) return ok_status();
  }
}

}  // namespace titan::tools
