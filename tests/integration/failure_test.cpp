// Ranks that disagree, die or stall: everybody ends soon, and says why.
#include <signal.h>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/integration/operation.h"
#include "tests/support/catch.h"

using namespace titan::testing;
using Catch::Matchers::Contains;

namespace {

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

TEST_CASE("A run that fails ends its metrics.jsonl with the cause", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult result = train(tiny_job(folder / "run", {"--optimizer.lr=1e30"}));
  INFO(result.output);
  REQUIRE(result.exit_code == 1);
  const auto last = metric_lines(folder / "run", "event").back();
  REQUIRE(last.at("event") == "failed");
  REQUIRE(last.at("step") == 2);
  REQUIRE_THAT(last.at("cause").get<std::string>(), Contains("the loss is not a finite number"));
}

TEST_CASE("A rank that is killed takes the others along, which leave their trace",
          "[integration]") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const auto arguments = tiny_job(
      run, {"--training.steps=1000000", "--metrics.log_freq=1", "--comm.train_timeout_seconds=60"});
  const auto first = start_rank(0, 29632, arguments);
  const auto second = start_rank(1, 29632, arguments);
  REQUIRE(wait_for_lines(run, 3));
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

TEST_CASE("A killed rank ends the others and the launcher, with exit 1", "[integration]") {
  const TemporaryFolder folder;
  const auto launcher = start_train(
      tiny_job(folder / "run", {"--training.steps=1000000", "--checkpoint.no-enable_checkpoint"}),
      {{"NGPU", "2"}});
  REQUIRE(launcher->wait_for_output("step 5", 60));
  REQUIRE(kill(rank_of(*launcher, 1), SIGKILL) == 0);
  const ProcessResult result = launcher->wait(60);
  INFO(result.output);
  REQUIRE(result.exit_code == 1);
  REQUIRE(result.mentions("rank 1 was killed by signal 9"));
  REQUIRE(run({"pgrep", "-f", folder / "run"}).output.empty());
}

TEST_CASE("An error on one rank ends all and says in which step and at which data",
          "[integration]") {
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const auto launcher = start_train(picture_job(run_folder, folder / "data"), {{"NGPU", "2"}});
  REQUIRE(wait_for_lines(run_folder, 3));
  std::filesystem::remove(folder / "data/odd/3.png");
  const ProcessResult result = launcher->wait(60);
  INFO(result.output);
  REQUIRE((result.exit_code == 1 || result.exit_code == 2));
  REQUIRE_THAT(result.output, Contains("odd/3.png"));
  REQUIRE_THAT(result.output, Contains("\n  [train] step ") || Contains("  [train] step "));
  REQUIRE_THAT(result.output, Contains("global batch from sample "));
  REQUIRE_THAT(result.output,
               Contains(" failed: [data] "));  // what the other rank says
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
