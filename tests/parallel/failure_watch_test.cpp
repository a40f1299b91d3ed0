#include "tests/support/catch.h"

#include "titan/parallel/failure_watch.h"

#include <atomic>
#include <future>

#include <torch/csrc/distributed/c10d/HashStore.hpp>

using titan::parallel::FailureWatch;
using titan::parallel::post_failure;
using titan::parallel::RankFailure;
using titan::parallel::read_failure;

using namespace std::chrono_literals;

TEST_CASE("The first failure stays, with its cause and exit code", "[parallel]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  REQUIRE_FALSE(read_failure(*store).has_value());
  const std::string cause = "[data] no such folder (path=/x y)\nsecond line";
  REQUIRE(post_failure(*store, {.rank = 2, .exit_code = 2, .cause = cause}).rank == 2);
  const RankFailure first = post_failure(*store, {.rank = 0, .exit_code = 1, .cause = "late"});
  REQUIRE(first.rank == 2);
  REQUIRE(first.exit_code == 2);
  REQUIRE(first.cause == cause);
  REQUIRE(read_failure(*store)->cause == cause);
}

TEST_CASE("A watch reports another rank's failure once, and not its own", "[parallel]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::promise<RankFailure> seen;
  std::atomic<int> own_reports = 0;
  FailureWatch other(
      store, 1, [&](const RankFailure& failure) { seen.set_value(failure); }, 5ms);
  FailureWatch own(
      store, 0, [&](const RankFailure&) { ++own_reports; }, 5ms);
  post_failure(*store, {.rank = 0, .exit_code = 3, .cause = "out of disk"});
  auto result = seen.get_future();
  REQUIRE(result.wait_for(20s) == std::future_status::ready);
  const RankFailure failure = result.get();
  REQUIRE(failure.cause == "out of disk");
  REQUIRE(failure.exit_code == 3);
  titan::parallel::await_witnesses(*store, 0, 2, 20s);
  std::this_thread::sleep_for(30ms);
  REQUIRE(own_reports == 0);
}

TEST_CASE("A watch that sees nothing ends quietly and at once", "[parallel]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::atomic<int> reports = 0;
  const auto start = std::chrono::steady_clock::now();
  {
    FailureWatch watch(
        store, 0, [&](const RankFailure&) { ++reports; }, 60s);
  }
  REQUIRE(std::chrono::steady_clock::now() - start < 10s);
  REQUIRE(reports == 0);
}
