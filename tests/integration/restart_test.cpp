#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/integration/operation.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

TEST_CASE("A job that loses a rank starts again from its checkpoint, to the same bits",
          "[integration]") {
  const TemporaryFolder folder;
  const auto job = [&](const std::string& name) {
    return tiny_job(folder / name, {"--training.steps=400", "--checkpoint.enable_checkpoint",
                                    "--checkpoint.interval=20", "--metrics.log_freq=10"});
  };
  const std::string whole = folder / "whole", killed = folder / "killed";
  REQUIRE(train(job("whole"), {{"NGPU", "2"}}).exit_code == 0);
  const auto launcher = start_train(job("killed"), {{"NGPU", "2"}, {"MAX_RESTARTS", "3"}});
  REQUIRE(wait_for_lines(killed, 4));
  REQUIRE(kill(rank_of(*launcher, 1), SIGKILL) == 0);
  const ProcessResult result = launcher->wait(120);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE(result.mentions("[launcher] restart 1 of 3 from the last checkpoint; failed in step "));
  REQUIRE(result.mentions("resumed from step "));
  REQUIRE(losses(killed) == losses(whole));
  const auto events = metric_lines(killed, "event");
  const auto restart = std::find_if(events.begin(), events.end(),
                                    [](const auto& event) { return event["event"] == "restart"; });
  REQUIRE(restart != events.end());
  CHECK((*restart)["number"] == 1);
  CHECK((*restart)["cause"].get<std::string>().find("rank ") == 0);
  CHECK(nlohmann::json::parse(slurp(killed + "/run.json")).at("restarts") == 1);
}

TEST_CASE("Bad input is not tried again", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult result =
      train(tiny_job(folder / "run", {"--training.dataset=class_folder",
                                      "--training.dataset_path=" + (folder / "absent")}),
            {{"NGPU", "2"}, {"MAX_RESTARTS", "3"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 2);
  REQUIRE_FALSE(result.mentions("restart 1"));
}
