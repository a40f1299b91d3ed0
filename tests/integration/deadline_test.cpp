#include <chrono>
#include <cstdio>
#include <filesystem>

#include "tests/integration/operation.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {
std::vector<std::string> endless(const std::string& folder, const std::string& more) {
  return tiny_job(folder, {"--training.steps=1000000", "--checkpoint.enable_checkpoint",
                           "--checkpoint.interval=1000000", "--metrics.log_freq=1000", more});
}
}  // namespace

TEST_CASE("A time limit saves by itself, in time, and the run goes on", "[integration]") {
  const TemporaryFolder folder;
  const StopWatch watch;
  const ProcessResult result =
      train(endless(folder / "run", "--job.time_limit=0:00:12"), {{"NGPU", "2"}});
  const double took = watch.seconds();
  std::printf("deadline: a limit of 12 s ended the job after %.2f s\n", took);
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
  REQUIRE(took < 12);
  REQUIRE(took > 6);
  REQUIRE(result.mentions("at the time limit (job.time_limit=0:00:12: "));
  REQUIRE_FALSE(fs::is_empty(folder / "run/checkpoint"));
  // The next attempt goes on, and its own limit is too short for anything: it says so.
  const ProcessResult next = train(endless(folder / "run", "--job.time_limit=1"), {{"NGPU", "2"}});
  INFO(next.output);
  REQUIRE(next.exit_code == 3);
  REQUIRE(next.mentions("resumed from step"));
  REQUIRE(next.mentions("too little for even one step and its checkpoint"));
}

TEST_CASE("SLURM's end of the job is a time limit; job.time_limit=0 switches it off",
          "[integration]") {
  const TemporaryFolder folder;
  const auto in_s = [](int s) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count() + s);
  };
  const ProcessResult result = train(endless(folder / "run", "--job.time_margin_seconds=16"),
                                     {{"SLURM_JOB_END_TIME", in_s(20)}});
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
  REQUIRE(result.mentions("at the time limit (SLURM's end of the job: "));
  const ProcessResult off =
      train(tiny_job(folder / "off", {"--job.time_limit=0"}), {{"SLURM_JOB_END_TIME", in_s(1)}});
  INFO(off.output);
  REQUIRE(off.exit_code == 0);
}
