#include <csignal>
#include <cstdio>
#include <filesystem>

#include "tests/integration/operation.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> endless(const std::string& folder) {
  return tiny_job(folder, {"--training.steps=1000000", "--checkpoint.enable_checkpoint",
                           "--checkpoint.interval=1000000"});
}

/// Steps of evaluations in the order of the file.
std::vector<int64_t> evaluated(const std::string& run_folder) {
  std::vector<int64_t> steps;
  for (const auto& line : metric_lines(run_folder, "eval"))
    steps.push_back(line.at("step").get<int64_t>());
  return steps;
}

/// The job of tiny_flux; every fourth step is followed by an evaluation, of `samples` one by one.
std::vector<std::string> evaluating(const std::string& folder, const std::string& samples,
                                    std::vector<std::string> more = {}) {
  more.insert(more.end(),
              {"--eval.subset_size=" + samples, "--eval.batch_size=1", "--metrics.mlperf_logging"});
  return tiny_flux(folder, more);
}

}  // namespace

TEST_CASE("SIGTERM stops at the step boundary with a checkpoint and exit 3", "[integration]") {
  const TemporaryFolder folder;
  for (const char* ranks : {"1", "2"}) {
    const std::string run_folder = folder / (std::string("run") + ranks);
    const auto process = start_train(endless(run_folder), {{"NGPU", ranks}});
    REQUIRE(process->wait_for_output("step 5", 60));
    const StopWatch watch;
    process->signal(SIGTERM);
    const ProcessResult result = process->wait(60);
    std::printf("signals: SIGTERM to the end of %s rank(s) with a checkpoint: %.2f s\n", ranks,
                watch.seconds());
    INFO(result.output);
    REQUIRE(result.exit_code == 3);
    REQUIRE(result.mentions("by SIGTERM"));
    REQUIRE(fs::exists(run_folder + "/checkpoint"));
    REQUIRE_FALSE(fs::is_empty(run_folder + "/checkpoint"));
    // It can be loaded.
    const int64_t step = metric_lines(run_folder).back().at("step");
    auto onward = endless(run_folder);
    onward.push_back("--training.steps=" + std::to_string(step + 2));
    const ProcessResult resumed = train(onward, {{"NGPU", ranks}});
    INFO(resumed.output);
    REQUIRE(resumed.exit_code == 0);
    REQUIRE(resumed.mentions("resumed from step " + std::to_string(step)));
  }
}

TEST_CASE("A signal to one rank alone stops all of them", "[integration]") {
  const TemporaryFolder folder;
  const int number = GENERATE(SIGTERM, SIGUSR1);
  const auto launcher = start_train(endless(folder / "run"), {{"NGPU", "2"}});
  REQUIRE(launcher->wait_for_output("step 5", 60));
  const pid_t second = rank_of(*launcher, 1);
  REQUIRE(second > 0);
  REQUIRE(kill(second, number) == 0);
  const ProcessResult result = launcher->wait(60);
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
  REQUIRE(result.mentions(number == SIGTERM ? "by SIGTERM (to rank 1)" : "by SIGUSR1 (to rank 1)"));
  REQUIRE_FALSE(fs::is_empty(folder / "run/checkpoint"));
}

TEST_CASE("Without checkpoints a signal saves nothing, and the log says so", "[integration]") {
  const TemporaryFolder folder;
  const auto process =
      start_train(evaluating(folder / "run", "4",
                             {"--training.steps=1000000", "--eval.eval_freq=80000000",
                              "--checkpoint.no-enable_checkpoint"}));
  REQUIRE(process->wait_for_output("step 5", 60));
  process->signal(SIGUSR1);
  const ProcessResult result = process->wait(60);
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
  REQUIRE(result.mentions("checkpoints are off, nothing was saved"));
  REQUIRE_FALSE(fs::exists(folder / "run/checkpoint"));
  const std::string log = slurp(folder / "run/mlperf.log");
  const std::size_t stop = log.find("run_stop");
  REQUIRE(stop != std::string::npos);
  REQUIRE(log.find("aborted", stop) != std::string::npos);
}

TEST_CASE("A signal in an evaluation stops it; it is made when the run goes on", "[integration]") {
  const TemporaryFolder folder;
  const std::string whole = folder / "whole", stopped = folder / "stopped";
  const auto job = [](const std::string& run_folder, const std::string& samples) {
    return evaluating(run_folder, samples, {"--eval.eval_freq=64"});  // four steps of two ranks
  };
  REQUIRE(train(job(whole, "5"), {{"NGPU", "2"}}).exit_code == 0);
  const auto process = start_train(job(stopped, "100000"), {{"NGPU", "2"}});
  REQUIRE(wait_for_lines(stopped, 4));  // then the first evaluation begins, and takes minutes
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const StopWatch watch;
  process->signal(SIGTERM);
  const ProcessResult result = process->wait(60);
  std::printf("signals: SIGTERM in an evaluation to the end of 2 ranks: %.2f s\n", watch.seconds());
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
  REQUIRE(watch.seconds() < 20);
  REQUIRE(result.mentions("stopped after step 4 by SIGTERM"));
  REQUIRE(result.mentions("put off: the evaluation"));
  REQUIRE(fs::exists(stopped + "/checkpoint/step-000004/index.json"));
  REQUIRE(evaluated(stopped).empty());

  const ProcessResult resumed = train(job(stopped, "5"), {{"NGPU", "2"}});
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  REQUIRE(evaluated(stopped) == std::vector<int64_t>{4, 8, 12});
  REQUIRE(evaluated(whole) == evaluated(stopped));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(metric_lines(whole, "eval")[i].at("loss") == metric_lines(stopped, "eval")[i].at("loss"));
  }
  CHECK(losses(whole) == losses(stopped));
  // The start of the evaluation that was left is gone from the log.
  const std::string log = slurp(stopped + "/mlperf.log");
  const auto count = [&](const std::string& key) {
    std::size_t found = 0;
    for (std::size_t at = log.find("\"" + key + "\""); at != std::string::npos;
         at = log.find("\"" + key + "\"", at + 1))
      ++found;
    return found;
  };
  CHECK(count("eval_start") == 3);
  CHECK(count("eval_stop") == 3);

  // Killed later and taken up again from that checkpoint it is not made twice.
  fs::remove_all(stopped + "/checkpoint/step-000006");
  fs::remove_all(stopped + "/checkpoint/step-000012");
  const ProcessResult again = train(job(stopped, "5"), {{"NGPU", "2"}});
  INFO(again.output);
  REQUIRE(again.exit_code == 0);
  REQUIRE(evaluated(stopped) == std::vector<int64_t>{4, 8, 12});
}

TEST_CASE("A signal in the last evaluation, or in the pictures, loses neither", "[integration]") {
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const std::vector<std::string> short_run = {"--training.steps=4", "--sampling.enable",
                                              "--sampling.freq=4"};
  auto slow = short_run, quick = short_run;
  slow.push_back("--sampling.steps=100000");
  quick.push_back("--sampling.steps=2");
  const auto process = start_train(evaluating(run_folder, "5", slow));
  REQUIRE(wait_for_lines(run_folder, 1, "eval"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  process->signal(SIGTERM);
  const ProcessResult result = process->wait(60);
  INFO(result.output);
  REQUIRE(result.exit_code == 3);
  REQUIRE(result.mentions("put off: the pictures"));
  REQUIRE_FALSE(fs::exists(run_folder + "/samples/step-000004.png"));
  const ProcessResult resumed = train(evaluating(run_folder, "5", quick));
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  REQUIRE(fs::exists(run_folder + "/samples/step-000004.png"));
  REQUIRE(evaluated(run_folder) == std::vector<int64_t>{4});
  REQUIRE(train(evaluating(run_folder, "5", quick)).mentions("this run is finished"));
}

TEST_CASE("two runs in one folder: the second is refused and names the first", "[integration]") {
  const TemporaryFolder folder;
  const auto first = start_train(endless(folder / "run"));
  REQUIRE(first->wait_for_output("step 2", 60));
  const ProcessResult second = train(tiny_job(folder / "run"));
  INFO(second.output);
  REQUIRE(second.exit_code == 2);
  REQUIRE(second.mentions(std::to_string(first->pid())));
}
