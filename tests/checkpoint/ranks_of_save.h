// ranks_of_save.h: ranks that save and load together: as threads, or as processes that can be
// killed; and a sharded layout for them.
#pragma once

#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "tests/checkpoint/small_state.h"
#include "tests/support/temporary_folder.h"
#include "titan/checkpoint/checkpoint_manager.h"

namespace titan::testing {

using ExchangeFunction = std::function<StatusOr<std::vector<std::string>>(const std::string&)>;

/// Hands texts round among threads that play ranks.
class ThreadExchange {
 public:
  explicit ThreadExchange(std::size_t ranks) : texts_(ranks) {}
  std::vector<std::string> operator()(std::size_t rank, const std::string& text) {
    std::unique_lock<std::mutex> lock(mutex_);
    texts_[rank] = text;
    const int64_t round = round_;
    if (++arrived_ == texts_.size()) {
      arrived_ = 0;
      ++round_;
      result_ = texts_;
      wake_.notify_all();
    } else {
      wake_.wait(lock, [&] { return round_ > round; });
    }
    return result_;
  }
  ExchangeFunction of_rank(std::size_t rank) {
    return [this, rank](const std::string& text) -> StatusOr<std::vector<std::string>> {
      return (*this)(rank, text);
    };
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::string> texts_, result_;
  std::size_t arrived_ = 0;
  int64_t round_ = 0;
};

/// Runs `body` on threads that play ranks.
inline void on_ranks(std::size_t ranks,
                     const std::function<void(int64_t rank, ExchangeFunction)>& body) {
  ThreadExchange exchange(ranks);
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] { body(static_cast<int64_t>(rank), exchange.of_rank(rank)); });
  for (std::thread& thread : threads) thread.join();
}

/// The same among processes, through files of a folder.
inline ExchangeFunction file_exchange(const std::string& folder, int64_t rank, int64_t ranks) {
  return [folder, rank, ranks, rounds = std::make_shared<int64_t>(0)](
             const std::string& text) -> StatusOr<std::vector<std::string>> {
    const int64_t round = (*rounds)++;
    const auto path = [&](int64_t r) { return str_cat(folder, "/", round, "-", r); };
    std::ofstream(path(rank) + ".new") << text;
    std::filesystem::rename(path(rank) + ".new", path(rank));
    std::vector<std::string> texts;
    for (int64_t r = 0; r < ranks; ++r) {
      while (!std::filesystem::exists(path(r))) usleep(100);
      texts.push_back(slurp(path(r)));
    }
    return texts;
  };
}

/// Parameters of three units, of odd sizes; `wide` makes files of several blocks.
inline std::vector<std::vector<NamedShape>> units_of_test(bool wide = false) {
  return {{{"embed.weight", {7, 5}}, {"embed.bias", {1}}, {"scale", {}}},
          {{"blocks.0.w", {wide ? 1301 : 13, wide ? 1009 : 9}}, {"blocks.0.b", {11}}},
          {{"head.w", {3, 4, 5}}, {"head.none", {0, 3}}, {"head.b", {3}}}};
}

/// What rank `index` of `count` holds of a unit whose parameters lie end to end on 16-element
/// borders, padded to a multiple of count x 16: a slice, with whatever is in it.
inline checkpoint::CheckpointItem unit_slice(const std::string& prefix,
                                             const std::vector<NamedShape>& unit, int64_t index,
                                             int64_t count) {
  std::vector<int64_t> starts;
  int64_t total = 0;
  for (const NamedShape& tensor : unit) {
    starts.push_back(total);
    total += (count_of(tensor.shape) + 15) / 16 * 16;
  }
  const int64_t length = (total + count * 16 - 1) / (count * 16) * 16;
  const int64_t begin = index * length, end = begin + length;
  checkpoint::CheckpointItem item{prefix, at::full({length}, -1, at::kFloat), {}};
  for (std::size_t i = 0; i < unit.size(); ++i) {
    const int64_t from = std::max(begin, starts[i]);
    const int64_t to = std::min(end, starts[i] + count_of(unit[i].shape));
    const bool empty_here = count_of(unit[i].shape) == 0 && starts[i] >= begin && starts[i] < end;
    if (from < to || empty_here)
      item.fragments.push_back({unit[i].name, unit[i].shape, from - starts[i], from - begin,
                                std::max<int64_t>(0, to - from)});
  }
  return item;
}

/// Weights, averages and both moments as `rank` of `shards` x replicas ranks holds them.
inline std::vector<checkpoint::CheckpointItem> sharded_state(int64_t rank, int64_t shards,
                                                             int64_t step = -1, bool wide = false) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const char* prefix : {"model", "ema", "optim.exp_avg", "optim.exp_avg_sq"}) {
    for (const auto& unit : units_of_test(wide)) {
      items.push_back(unit_slice(prefix, unit, rank % shards, shards));
      if (step >= 0) fill(items.back(), step);
    }
  }
  return items;
}

inline checkpoint::CheckpointManager manager_of(const std::string& folder, int64_t rank,
                                                ExchangeFunction exchange, int64_t keep = 0,
                                                int threads = 1) {
  auto manager = checkpoint::CheckpointManager::open({.folder = folder,
                                                      .keep_latest_k = keep,
                                                      .rank = rank,
                                                      .exchange = std::move(exchange),
                                                      .threads = threads});
  TITAN_CHECK(manager.ok(), message_of(manager.status()));
  return *std::move(manager);
}

}  // namespace titan::testing
