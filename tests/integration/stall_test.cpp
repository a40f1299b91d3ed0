// Ranks that freeze or wait for data: noticed by their heartbeats, named, and ended.
#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/integration/operation.h"
#include "tests/support/catch.h"

using namespace titan::testing;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

constexpr int kTimeout = 4;
const std::vector<std::string> kQuick = {"--comm.stall_timeout_seconds=" + std::to_string(kTimeout),
                                         "--comm.heartbeat_seconds=0.5"};

std::vector<std::string> endless(const std::string& folder, std::vector<std::string> more) {
  more.insert(more.end(), {"--training.steps=1000000", "--checkpoint.no-enable_checkpoint"});
  return tiny_job(folder, more);
}

/// Waits for the report and the end of a job that has just begun to stall.
ProcessResult end_in_time(Process& job, const char* what) {
  const StopWatch watch;
  const bool reported = job.wait_for_output("[stall]", 60);
  const double report_s = watch.seconds();
  const ProcessResult result = job.wait(60);
  std::printf("stall: %s: reported after %.1f s, all ended after %.1f s (timeout %d s)\n", what,
              report_s, watch.seconds(), kTimeout);
  INFO(result.output);
  REQUIRE(reported);
  REQUIRE(result.exit_code == 1);
  REQUIRE(report_s < 2 * kTimeout);
  // A frozen rank 0 is woken up at the end, and waits 3 s for the others to hear of it.
  REQUIRE(watch.seconds() < 2 * kTimeout + 3);
  return result;
}

}  // namespace

TEST_CASE("A frozen rank is named, traces are written, and all end in time", "[integration]") {
  const int frozen = GENERATE(0, 1);
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const auto launcher = start_train(endless(run_folder, kQuick), {{"NGPU", "2"}});
  REQUIRE(wait_for_lines(run_folder, 3));
  const pid_t pid = rank_of(*launcher, frozen);
  REQUIRE(pid > 0);
  REQUIRE(kill(pid, SIGSTOP) == 0);
  const ProcessResult result =
      end_in_time(*launcher, frozen == 0 ? "rank 0 frozen" : "rank 1 frozen");
  REQUIRE_THAT(result.output, Contains(frozen == 0 ? "[stall] rank 0 has not answered for"
                                                   : "[stall] rank 1 has not been heard of for"));
  REQUIRE_THAT(result.output, Contains("rank 1: step ") || Contains("rank 0: step "));
  REQUIRE(fs::exists(run_folder + "/trace/rank-0000" + (frozen == 0 ? "1" : "0") + ".json"));
  REQUIRE(run({"pgrep", "-f", run_folder}).output.empty());
}

TEST_CASE("A rank that waits for data is told from the one that waits for it", "[integration]") {
#ifdef TITAN_SANITIZED
  TITAN_SKIP("a sanitizer must be the first library that is loaded");
#endif
  const char* const ranks = GENERATE("1", "2");
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const auto launcher = start_train(picture_job(run_folder, folder / "data", kQuick),
                                    {{"NGPU", ranks}, {"LD_PRELOAD", TITAN_SLOW_FILE}});
  REQUIRE(wait_for_lines(run_folder, 5));
  std::ofstream(folder / "data/odd/7.png.slow") << "";  // slow_file.cpp: opening it hangs
  const ProcessResult result = end_in_time(*launcher, "data stall");
  REQUIRE_THAT(result.output, Contains("[stall] data stall: rank "));
  REQUIRE_THAT(result.output,
               Contains("waits for data: ") && Contains("odd/7.png (global sample "));
  if (*ranks == '2') {
    REQUIRE_THAT(result.output, Contains("; the other ranks wait"));
    REQUIRE_THAT(result.output,
                 Contains("waits for all-gather") || Contains("waits for all-reduce"));
  }
  for (int r = 0; r < std::atoi(ranks); ++r)
    REQUIRE(fs::exists(run_folder + "/trace/rank-0000" + std::to_string(r) + ".json"));
}

TEST_CASE("A job that is suspended as a whole goes on afterwards", "[integration]") {
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const auto job = start_train(endless(run_folder, {"--comm.stall_timeout_seconds=2"}));
  REQUIRE(wait_for_lines(run_folder, 3));
  job->signal(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(4));
  job->signal(SIGCONT);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  job->signal(SIGTERM);
  const ProcessResult result = job->wait(60);
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
}

TEST_CASE("A long evaluation is no stall", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult result =
      train(tiny_flux(folder / "run",
                      {"--training.steps=4", "--eval.eval_freq=64", "--eval.subset_size=12000",
                       "--eval.batch_size=2", "--comm.stall_timeout_seconds=2"}),
            {{"NGPU", "2"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE(metric_lines(folder / "run", "eval").at(0).at("seconds").get<double>() > 2.5);
}
