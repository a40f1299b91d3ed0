// Ranks that disagree, die or stall: everybody ends soon, and says why.
#include <signal.h>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
using Catch::Matchers::Contains;

namespace {

/// One rank of two, as torchrun would start it.
std::unique_ptr<Process> start_rank(int rank, int port, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {kTrainBinary};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return std::make_unique<Process>(
      command, std::map<std::string, std::string>{{"RANK", std::to_string(rank)},
                                                  {"LOCAL_RANK", std::to_string(rank)},
                                                  {"WORLD_SIZE", "2"},
                                                  {"OMP_NUM_THREADS", "1"},
                                                  {"MASTER_ADDR", "127.0.0.1"},
                                                  {"MASTER_PORT", std::to_string(port)}});
}

bool wait_for_steps(const std::string& run_folder, std::size_t count) {
  for (int tries = 0; tries < 600; ++tries) {
    if (std::filesystem::exists(run_folder + "/metrics.jsonl") &&
        metric_lines(run_folder).size() >= count)
      return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

}  // namespace

TEST_CASE("Ranks with other settings are told which", "[integration]") {
  const TemporaryFolder folder;
  const auto first = start_rank(0, 29631, tiny_job(folder / "run", {"--optimizer.lr=0.001"}));
  const auto second = start_rank(1, 29631, tiny_job(folder / "run", {"--optimizer.lr=0.002"}));
  const ProcessResult a = first->wait(), b = second->wait();
  INFO(a.output << b.output);
  REQUIRE(a.exit_code == 2);
  REQUIRE(b.exit_code == 2);
  REQUIRE_THAT(a.output + b.output,
               Contains("[optimizer] lr = 0.001 on rank 0, lr = 0.002 on rank 1"));
}

TEST_CASE("A rank that is killed takes the others along, which leave their trace",
          "[integration]") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const auto arguments = tiny_job(
      run, {"--training.steps=1000000", "--metrics.log_freq=1", "--comm.train_timeout_seconds=60"});
  const auto first = start_rank(0, 29632, arguments);
  const auto second = start_rank(1, 29632, arguments);
  REQUIRE(wait_for_steps(run, 3));
  const auto began = std::chrono::steady_clock::now();
  second->signal(SIGKILL);
  const ProcessResult result = first->wait();
  INFO(result.output);
  REQUIRE(result.exit_code == 1);
  REQUIRE(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
  const nlohmann::json trace = read_json(run + "/trace/rank-00000.json");
  REQUIRE(trace.at("steps").size() >= 2);
  REQUIRE(trace.at("reason").get<std::string>() != "");
}

TEST_CASE("A rank that hangs is named before the others give up", "[integration]") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const auto arguments = tiny_job(
      run, {"--training.steps=1000000", "--metrics.log_freq=1", "--comm.train_timeout_seconds=8"});
  const auto first = start_rank(0, 29633, arguments);
  const auto second = start_rank(1, 29633, arguments);
  REQUIRE(wait_for_steps(run, 3));
  second->signal(SIGSTOP);
  const ProcessResult result = first->wait();
  second->signal(SIGKILL);
  second->wait();
  INFO(result.output);
  REQUIRE(result.exit_code == 1);
  REQUIRE_THAT(result.output, Contains("does not move: for 4 s rank 0 is in wait"));
  REQUIRE(std::filesystem::exists(run + "/trace/rank-00000.chrome.json"));
}

TEST_CASE("The trace of a healthy run tells where its time went", "[integration]") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const ProcessResult result =
      train(tiny_job(run, {"--trace.write_at=5", "--trace.keep_steps=3"}), {{"NGPU", "2"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE_THAT(result.output, Contains("% of their time for other ranks"));
  for (const char* rank : {"0", "1"}) {
    const nlohmann::json trace = read_json(run + "/trace/rank-0000" + std::string(rank) + ".json");
    REQUIRE(trace.at("steps").size() == 3);
    REQUIRE(trace.at("steps").back().at("step") == 5);
    std::map<std::string, int> seen;
    for (const auto& event : trace.at("steps").back().at("events"))
      ++seen[event.at("name").get<std::string>()];
    const int units = 4;  // embed, two blocks, head
    REQUIRE(seen["forward"] == units);
    REQUIRE(seen["backward"] == units);
    // Gathered for forward and again for backward, but for the last block and the head.
    REQUIRE(seen["all-gather"] == units + 2);
    REQUIRE(seen["reduce-scatter"] == units);
    REQUIRE(seen["optimizer"] == 1);
    REQUIRE(seen["data"] == 1);
  }
}
