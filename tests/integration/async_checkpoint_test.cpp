#include <csignal>
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> saving(const std::string& folder, std::vector<std::string> extra = {}) {
  extra.insert(extra.begin(), {"--checkpoint.enable_checkpoint", "--checkpoint.interval=4",
                               "--checkpoint.keep_latest_k=0", "--ema.enable",
                               "--training.steps=12", "--checkpoint.async_mode=async"});
  return tiny_job(folder, extra);
}

std::string state_of(const std::string& folder, const std::string& step) {
  return slurp(folder + "/checkpoint/" + step + "/rank-00000.safetensors");
}

}  // namespace

TEST_CASE("asynchronous saves hold the same bits as those training waits for", "[integration]") {
  const TemporaryFolder folder;
  for (const char* ranks : {"1", "2"}) {
    const std::string beside = folder / ("beside" + std::string(ranks));
    const std::string waiting = folder / ("waiting" + std::string(ranks));
    const ProcessResult result = train(saving(beside), {{"NGPU", ranks}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    REQUIRE(result.mentions("ms for the copy"));
    REQUIRE(
        train(saving(waiting, {"--checkpoint.async_mode=disabled"}), {{"NGPU", ranks}}).exit_code ==
        0);
    for (const char* step : {"step-000004", "step-000008", "step-000012"}) {
      REQUIRE(state_of(waiting, step).size() > 1000);
      REQUIRE(state_of(beside, step) == state_of(waiting, step));
    }
  }
}

TEST_CASE("a signal waits for the asynchronous save; a kill leaves older ones", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> arguments =
      saving(folder / "run", {"--training.steps=100000", "--checkpoint.interval=2"});
  for (const int number : {SIGKILL, SIGTERM}) {
    std::vector<std::string> command = {kTrainBinary};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process process(command);
    REQUIRE(process.wait_for_output("ms for the copy", 60));
    usleep(30000);
    process.signal(number);
    const ProcessResult result = process.wait();
    INFO(result.output);
    REQUIRE(result.exit_code == (number == SIGTERM ? 3 : 137));
  }
  for (const auto& entry : fs::directory_iterator(folder / "run/checkpoint"))
    REQUIRE(entry.path().filename().string()[0] != '.');
}

TEST_CASE("verify-resume shows that N + N is 2N, also on other ranks", "[integration]") {
  const TemporaryFolder folder;
  std::vector<std::string> command = {kTitanBinary,
                                      "verify-resume",
                                      "--config=debug",
                                      "--steps=4",
                                      "--world=2",
                                      "--load-world=1,4",
                                      "--folder=" + folder / "runs"};
  for (const std::string& argument : tiny_job("unused"))
    if (argument.find("--config") == std::string::npos) command.push_back(argument);
  command.push_back("--ema.enable");
  const ProcessResult result = run(command, {}, 300);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE(result.mentions("4 + 4 steps, 2 ranks"));
  REQUIRE(result.mentions("kill -9 after step 4, 2 ranks"));
  REQUIRE(result.mentions("saved on 2, loaded on 4"));
  REQUIRE(result.mentions("optim.exp_avg_sq"));
  REQUIRE(result.mentions("all agree"));

  const ProcessResult bad = run({kTitanBinary, "verify-resume", "--config=debug", "--load-world=3",
                                 "--training.global_batch_size=8"});
  REQUIRE(bad.exit_code == 2);
  REQUIRE(bad.mentions("3 ranks cannot share a global batch of 8"));
  REQUIRE(run({kTitanBinary, "verify-resume"}).exit_code == 2);
}
