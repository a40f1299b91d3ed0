#include "tests/support/catch.h"

#include "titan/parallel/heartbeat.h"

#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <thread>

using Catch::Matchers::Contains;
using titan::parallel::Beat;
using titan::parallel::BeatBoard;
using titan::parallel::Heartbeat;
using titan::parallel::HeartbeatOptions;
using titan::parallel::StallReport;

using namespace std::chrono_literals;

namespace {

/// What the boards of a job's ranks share.
struct Shared {
  std::mutex mutex;
  std::map<int, std::string> beats;
  std::atomic<bool> silent = false;  ///< calls do not return
};

class TestBoard : public BeatBoard {
 public:
  TestBoard(std::shared_ptr<Shared> shared, int rank, int ranks)
      : shared_(std::move(shared)), rank_(rank), ranks_(ranks) {}
  void publish(const std::string& beat) override {
    while (shared_->silent) std::this_thread::sleep_for(1ms);
    const std::lock_guard lock(shared_->mutex);
    shared_->beats[rank_] = beat;
  }
  std::vector<std::optional<std::string>> read() override {
    const std::lock_guard lock(shared_->mutex);
    std::vector<std::optional<std::string>> beats(static_cast<std::size_t>(ranks_));
    for (const auto& [rank, beat] : shared_->beats) beats[static_cast<std::size_t>(rank)] = beat;
    return beats;
  }
  void end_job(const std::string&, const std::vector<int>&) override {}

 private:
  std::shared_ptr<Shared> shared_;
  int rank_, ranks_;
};

HeartbeatOptions options(int rank, int ranks) {
  return {.rank = rank,
          .world_size = ranks,
          .limits = {.stall_s = 0.4, .patient_s = 5, .learn = false, .interval_s = 0.02}};
}

/// The first report, or none in a while.
struct Reports {
  std::promise<StallReport> promise;
  std::future<StallReport> future = promise.get_future();
  Heartbeat::OnStall take() {
    return [this](const StallReport& report, BeatBoard*) { promise.set_value(report); };
  }
  bool come(std::chrono::milliseconds limit) {
    return future.wait_for(limit) == std::future_status::ready;
  }
};

}  // namespace

TEST_CASE("A single rank that does not get on is reported, one that does is not", "[parallel]") {
  std::atomic<int64_t> progress = 0;
  std::atomic<bool> works = true;
  Reports reports;
  const Heartbeat heart(
      options(0, 1), nullptr,
      [&] {
        Beat beat;
        beat.progress = works ? ++progress : progress.load();
        beat.phase = "step";
        return beat;
      },
      reports.take());
  REQUIRE_FALSE(reports.come(1200ms));
  works = false;
  REQUIRE(reports.come(20s));
  CHECK(reports.future.get().culprits == std::vector<int>{0});
}

TEST_CASE("Rank 0 hears of the others through the board", "[parallel]") {
  const auto shared = std::make_shared<Shared>();
  Reports reports, none;
  const auto beat_in = [](const char* doing, const char* collective) {
    return [doing, collective] {
      Beat beat;
      beat.phase = "step";
      beat.step = 3;
      beat.doing = doing;
      beat.collective = collective;
      beat.open = true;
      return beat;
    };
  };
  const Heartbeat first(options(0, 2), std::make_unique<TestBoard>(shared, 0, 2),
                        beat_in("wait", "all-gather"), reports.take());
  const Heartbeat second(options(1, 2), std::make_unique<TestBoard>(shared, 1, 2),
                         beat_in("data", ""), none.take());
  REQUIRE(reports.come(20s));
  const StallReport report = reports.future.get();
  CHECK(report.kind == StallReport::Kind::kData);
  CHECK(report.culprits == std::vector<int>{1});
  CHECK_FALSE(none.come(0ms));
}

TEST_CASE("A rank whose board is silent says that rank 0 is", "[parallel]") {
  const auto shared = std::make_shared<Shared>();
  Reports reports;
  const Heartbeat heart(
      options(1, 2), std::make_unique<TestBoard>(shared, 1, 2), [] { return Beat(); },
      reports.take());
  REQUIRE_FALSE(reports.come(1000ms));
  shared->silent = true;
  REQUIRE(reports.come(20s));
  const StallReport report = reports.future.get();
  CHECK(report.culprits == std::vector<int>{0});
  CHECK_THAT(report.text, Contains("[stall] rank 0 has not answered for"));
  shared->silent = false;
}

TEST_CASE("The last beat says that the rank is done", "[parallel]") {
  const auto shared = std::make_shared<Shared>();
  Reports reports;
  {
    const Heartbeat heart(
        options(1, 2), std::make_unique<TestBoard>(shared, 1, 2), [] { return Beat(); },
        reports.take());
    std::this_thread::sleep_for(50ms);
  }
  CHECK(titan::parallel::decode_beat(shared->beats.at(1))->left);
}

TEST_CASE("A heart whose board hangs does not hold up the end of its rank", "[parallel]") {
  const auto shared = std::make_shared<Shared>();
  Reports reports;
  shared->silent = true;
  const auto began = std::chrono::steady_clock::now();
  {
    HeartbeatOptions patient = options(1, 2);
    patient.limits.stall_s = 60;
    const Heartbeat heart(
        patient, std::make_unique<TestBoard>(shared, 1, 2), [] { return Beat(); }, reports.take());
  }
  CHECK(std::chrono::steady_clock::now() - began < 10s);
  shared->silent = false;
  std::this_thread::sleep_for(50ms);  // the thread that was left behind ends
}
