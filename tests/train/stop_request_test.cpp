#include "tests/support/catch.h"

#include "titan/train/stop_request.h"

#include <atomic>
#include <csignal>

#include "titan/base/check.h"

#include "tests/support/ranks.h"

using Catch::Matchers::Contains;
using titan::Clocks;
using titan::Deadline;
using titan::StopRequest;

namespace {

/// A limit of 100 s that began 0 s ago on a clock that stands at `now`.
Deadline deadline(const std::shared_ptr<double>& now) {
  titan::JobSection job;
  job.time_limit = "100";
  return Deadline::of_job(job, *now, {[now] { return *now; }, [] { return 0.0; }},
                          [](const char*) -> const char* { return nullptr; });
}

}  // namespace

TEST_CASE("A signal to one rank stops all at the same call, and stays", "[train]") {
  std::vector<std::string> reasons(3);
  std::vector<int> stopped_at(3, -1);
  titan::testing::run_ranks(3, [&](titan::parallel::Communicator& ranks) {
    int call = 0;
    StopRequest stop(ranks, Deadline(),
                     [&] { return ranks.rank() == 1 && call >= 4 ? SIGUSR1 : 0; });
    const auto r = static_cast<std::size_t>(ranks.rank());
    for (; call < 8; ++call) {
      if (stop.agreed(0) && stopped_at[r] < 0) stopped_at[r] = call;
    }
    reasons[r] = stop.reason();
  });
  CHECK(stopped_at == std::vector<int>(3, 4));
  for (const std::string& reason : reasons) CHECK(reason == "by SIGUSR1 (to rank 1)");
}

TEST_CASE("Rank 0's clock alone decides on the time limit", "[train]") {
  std::vector<int> stopped_at(2, -1);
  std::vector<std::string> reasons(2);
  titan::testing::run_ranks(2, [&](titan::parallel::Communicator& ranks) {
    const auto now = std::make_shared<double>(ranks.rank() == 0 ? 0.0 : 5000.0);
    StopRequest stop(ranks, deadline(now), [] { return 0; });
    if (ranks.rank() == 1) *now += 1e6;  // far beyond its end
    for (int call = 0; call < 10; ++call) {
      if (stop.agreed(/*needed_s=*/35)) {
        stopped_at[static_cast<std::size_t>(ranks.rank())] = call;
        break;
      }
      if (ranks.rank() == 0) *now += 10;
    }
    reasons[static_cast<std::size_t>(ranks.rank())] = stop.reason();
  });
  CHECK(stopped_at == std::vector<int>(2, 7));  // 100 - 70 < 35
  CHECK(reasons[0] == "at the time limit (job.time_limit=100: 30 s are left)");
  CHECK(reasons[1] == reasons[0]);
}
