#include "titan/parallel/shared_steps.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

constexpr std::size_t kLineBytes = 128;  // two cache lines: neighbours are fetched in pairs
constexpr int kSpins = 1000;             // some ten microseconds
// Wakes are not lost, so this is how soon a rank's end is seen, not how fast a meeting is.
constexpr long kSliceNs = 50'000'000;

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

long futex(std::atomic<std::uint32_t>* word, int operation, std::uint32_t value,
           const timespec* timeout) {
  return ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), operation, value, timeout,
                   nullptr, 0);
}

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

/// What a rank shows the others. Zero at first.
struct SharedSteps::RankLine {
  std::atomic<std::uint32_t> step;     ///< the last one for which its slot is filled
  std::atomic<std::uint32_t> waiting;  ///< ranks that sleep until it goes on
  std::atomic<std::uint32_t> process;
  std::atomic<std::uint32_t> left;
};

std::size_t SharedSteps::segment_bytes(int size, std::size_t slot_bytes) {
  return static_cast<std::size_t>(size) * (kLineBytes + 2 * slot_bytes);
}

SharedSteps::RankLine& SharedSteps::line(int rank) const {
  static_assert(sizeof(RankLine) <= kLineBytes);
  std::byte* const place = segment_->data() + static_cast<std::size_t>(rank) * kLineBytes;
  return *std::launder(reinterpret_cast<RankLine*>(place));
}

std::byte* SharedSteps::slot(int rank) const {
  const std::size_t index = 2 * static_cast<std::size_t>(rank) + step_ % 2;
  return segment_->data() + static_cast<std::size_t>(size_) * kLineBytes + index * slot_bytes_;
}

SharedSteps::SharedSteps(std::unique_ptr<SharedSegment> segment, int rank, int size,
                         std::size_t slot_bytes)
    : segment_(std::move(segment)),
      rank_(rank),
      size_(size),
      slot_bytes_(slot_bytes),
      processes_(static_cast<std::size_t>(size), -1) {
  TITAN_CHECK(segment_->bytes() == segment_bytes(size, slot_bytes),
              "[parallel] a segment of another size (", segment_->bytes(), " bytes)");
  // Ranks that share a core would only keep each other from it.
  spins_ = static_cast<unsigned>(size) <= std::thread::hardware_concurrency() ? kSpins : 0;
  line(rank).process.store(static_cast<std::uint32_t>(::getpid()));
}

SharedSteps::~SharedSteps() {
  line(rank_).left.store(1);
  for (const int descriptor : processes_)
    if (descriptor >= 0) ::close(descriptor);
}

void SharedSteps::meet(std::chrono::steady_clock::time_point deadline) {
  if (!broken_.empty()) throw Error("the group is broken: " + broken_);
  RankLine& own = line(rank_);
  // Sequentially consistent, as is the sleeper's count: either it sees the new step or is seen.
  own.step.store(step_);
  if (own.waiting.load() > 0) futex(&own.step, FUTEX_WAKE, INT_MAX, nullptr);
  try {
    for (int other = 1; other < size_; ++other) wait_for((rank_ + other) % size_, deadline);
  } catch (const Error& error) {
    broken_ = error.what();
    throw;
  }
}

void SharedSteps::wait_for(int rank, std::chrono::steady_clock::time_point deadline) {
  RankLine& other = line(rank);
  // Steps are counted round: the difference is right beyond 2^32 too.
  const auto behind = [&](std::uint32_t seen) {
    return static_cast<std::int32_t>(seen - step_) < 0;
  };
  for (int i = 0; i < spins_; ++i) {
    if (!behind(other.step.load(std::memory_order_acquire))) return;
    pause_briefly();
  }
  other.waiting.fetch_add(1);
  try {
    for (std::uint32_t seen = other.step.load(); behind(seen); seen = other.step.load()) {
      const timespec slice{.tv_sec = 0, .tv_nsec = kSliceNs};
      const long result = futex(&other.step, FUTEX_WAIT, seen, &slice);
      if (result != 0 && errno == ETIMEDOUT && behind(other.step.load())) check(rank, deadline);
    }
  } catch (...) {
    other.waiting.fetch_sub(1);
    throw;
  }
  other.waiting.fetch_sub(1);
}

/// Throws where another rank will never come, or has not in time.
void SharedSteps::check(int rank, std::chrono::steady_clock::time_point deadline) {
  RankLine& other = line(rank);
  if (interrupted_.load()) throw Error(str_cat("closed while waiting for rank ", rank));
  if (other.left.load() != 0) throw Error(str_cat("rank ", rank, " has left"));
  int& descriptor = processes_[static_cast<std::size_t>(rank)];
  const std::uint32_t process = other.process.load();
  bool ended = false;
  if (descriptor < 0 && process != 0) {
    descriptor = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
    ended = descriptor < 0 && errno == ESRCH;
  }
  if (descriptor >= 0) {
    pollfd end{.fd = descriptor, .events = POLLIN, .revents = 0};
    ended = ::poll(&end, 1, 0) == 1;
  }
  if (ended) throw Error(str_cat("the process of rank ", rank, " (", process, ") has ended"));
  if (std::chrono::steady_clock::now() >= deadline)
    throw Error(str_cat("rank ", rank, " did not come in time"));
}

}  // namespace titan::parallel
