#include "titan/parallel/heartbeat.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "titan/base/log.h"

namespace titan::parallel {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPartingTime{2};

double now_s() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

}  // namespace

/// Outlives the object where a thread is blocked in the board.
struct Heartbeat::State {
  State(const HeartbeatOptions& given, std::unique_ptr<BeatBoard> given_board,
        SampleBeat given_sample, OnStall given_on_stall)
      : options(given),
        board(std::move(given_board)),
        sample(std::move(given_sample)),
        on_stall(std::move(given_on_stall)),
        judge(given.world_size, given.limits) {}

  void run();
  void guard();
  std::optional<StallReport> beat();
  void say_done();
  /// False when the object goes.
  bool pause(double seconds) {
    std::unique_lock lock(mutex);
    return !wake.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return ending; });
  }
  void tell(const StallReport& report, BeatBoard* told_board) {
    {
      const std::lock_guard lock(mutex);
      if (ending || std::exchange(told, true)) return;
    }
    on_stall(report, told_board);
  }

  const HeartbeatOptions options;
  const std::unique_ptr<BeatBoard> board;
  const SampleBeat sample;
  const OnStall on_stall;
  StallJudge judge;  ///< rank 0's; the beating thread's, as the next two
  Beat last;
  std::int64_t count = 0;
  std::atomic<int> answers = 0;
  std::mutex mutex;
  std::condition_variable wake;
  bool ending = false;
  bool told = false;
  bool done = false;  ///< the beating thread has ended
  std::thread beating, guarding;
};

std::optional<StallReport> Heartbeat::State::beat() {
  last = sample();
  last.count = ++count;
  if (board) board->publish(encode(last));
  ++answers;
  if (options.rank != 0) return std::nullopt;
  std::vector<std::optional<Beat>> beats(static_cast<std::size_t>(options.world_size));
  if (board) {
    const std::vector<std::optional<std::string>> texts = board->read();
    for (std::size_t r = 0; r < beats.size(); ++r) {
      if (!texts[r]) continue;
      if (StatusOr<Beat> one = decode_beat(*texts[r]); one.ok()) beats[r] = *std::move(one);
    }
  }
  beats.front() = last;
  return judge.observe(now_s(), beats);
}

/// Without a sample: what it looks at may be gone.
void Heartbeat::State::say_done() {
  last.count = ++count;
  last.left = true;
  if (board) board->publish(encode(last));
}

/// A lost board is not this object's business: whoever watches for failures ends the process.
void Heartbeat::State::run() {
  try {
    do {
      if (const std::optional<StallReport> report = beat()) tell(*report, board.get());
    } while (pause(options.limits.interval_s));
    say_done();
  } catch (const std::exception& error) {
    TITAN_VLOG(1) << "[parallel] the heartbeat ends: " << error.what();
  }
  const std::lock_guard lock(mutex);
  done = true;
  wake.notify_all();
}

/// Counts its own ticks, not time: a process that was stopped and goes on has missed both.
void Heartbeat::State::guard() {
  const double tick = options.limits.interval_s / 2;
  int seen = -1;
  double silent_s = 0;
  while (pause(tick)) {
    {
      const std::lock_guard lock(mutex);
      if (done) return;
    }
    silent_s = std::exchange(seen, answers.load()) == answers.load() ? silent_s + tick : 0;
    if (silent_s < options.limits.stall_s) continue;
    Beat own = sample();
    tell({.kind = StallReport::Kind::kSilent,
          .culprits = {0},
          .text = str_cat("[stall] rank 0 has not answered for ", static_cast<int>(silent_s),
                          " s (frozen, or the host is gone or not reached any more)\n  rank ",
                          options.rank, ": ", own.where())},
         nullptr);
    return;
  }
}

Heartbeat::Heartbeat(const HeartbeatOptions& options, std::unique_ptr<BeatBoard> board,
                     SampleBeat sample, OnStall on_stall)
    : state_(std::make_shared<State>(options, std::move(board), std::move(sample),
                                     std::move(on_stall))) {
  state_->beating = std::thread([state = state_] { state->run(); });
  if (state_->board && options.rank != 0)
    state_->guarding = std::thread([state = state_] { state->guard(); });
}

Heartbeat::~Heartbeat() {
  bool done = false;
  {
    std::unique_lock lock(state_->mutex);
    state_->ending = true;
    state_->wake.notify_all();
    done = state_->wake.wait_for(lock, kPartingTime, [this] { return state_->done; });
  }
  if (done) {
    state_->beating.join();
  } else {
    TITAN_LOG(WARNING) << "[parallel] the heartbeat does not end: rank 0 does not answer";
    state_->beating.detach();
  }
  if (state_->guarding.joinable()) state_->guarding.join();
}

}  // namespace titan::parallel
