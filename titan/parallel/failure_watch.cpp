#include "titan/parallel/failure_watch.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

const char* const kFailureKey = "titan/failure";

std::string witness_key(int rank) { return str_cat("titan/failure_seen/", rank); }

std::string encode(const RankFailure& failure) {
  return str_cat(failure.rank, " ", failure.exit_code, " ", failure.cause);
}

RankFailure decode(const std::string& text) {
  RankFailure failure;
  std::istringstream in(text);
  in >> failure.rank >> failure.exit_code;
  in.get();  // the space in front of the cause
  failure.cause.assign(std::istreambuf_iterator<char>(in), {});
  return failure;
}

}  // namespace

std::string RankFailure::text() const {
  return cause.starts_with("[stall]") ? cause : str_cat("rank ", rank, " failed: ", cause);
}

RankFailure post_failure(c10d::Store& store, const RankFailure& failure) {
  return decode(store.compareSet(kFailureKey, std::string(), encode(failure)));
}

std::optional<RankFailure> read_failure(c10d::Store& store) {
  if (!store.check({kFailureKey})) return std::nullopt;
  return decode(store.get_to_str(kFailureKey));
}

void await_witnesses(c10d::Store& store, int rank, int world_size, std::chrono::milliseconds limit,
                     const std::vector<int>& deaf) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (int other = 0; other < world_size; ++other) {
    if (other == rank || std::find(deaf.begin(), deaf.end(), other) != deaf.end()) continue;
    while (!store.check({witness_key(other)}) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

FailureWatch::FailureWatch(c10::intrusive_ptr<c10d::Store> store, int rank, OnFailure on_failure,
                           std::chrono::milliseconds interval)
    : store_(std::move(store)),
      rank_(rank),
      on_failure_(std::move(on_failure)),
      interval_(interval),
      thread_([this] { watch(); }) {}

FailureWatch::~FailureWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::optional<RankFailure> FailureWatch::poll() {
  try {
    std::optional<RankFailure> failure = read_failure(*store_);
    if (!failure || failure->rank == rank_) return std::nullopt;
    store_->set(witness_key(rank_), std::string("1"));
    return failure;
  } catch (const std::exception&) {
    return RankFailure{
        .rank = 0, .exit_code = 1, .cause = "it is gone (connection to its store lost)"};
  }
}

void FailureWatch::watch() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, interval_, [this] { return stopping_; })) {
    lock.unlock();
    const std::optional<RankFailure> failure = poll();
    lock.lock();
    if (!failure || stopping_) continue;
    lock.unlock();
    on_failure_(*failure);
    return;
  }
}

}  // namespace titan::parallel
