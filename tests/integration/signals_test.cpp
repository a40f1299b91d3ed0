#include <csignal>
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {
std::vector<std::string> endless(const std::string& folder) {
  std::vector<std::string> command = {kTrainBinary};
  for (const std::string& argument :
       tiny_job(folder, {"--training.steps=1000000", "--checkpoint.enable_checkpoint",
                         "--checkpoint.interval=1000000"}))
    command.push_back(argument);
  return command;
}
}  // namespace

TEST_CASE("SIGTERM stops at the step boundary with a checkpoint and exit 3", "[integration]") {
  const TemporaryFolder folder;
  for (const char* ranks : {"1", "2"}) {
    const std::string run_folder = folder / (std::string("run") + ranks);
    Process process(endless(run_folder), {{"NGPU", ranks}});
    REQUIRE(process.wait_for_output("step 5", 60));
    process.signal(SIGTERM);
    const ProcessResult result = process.wait(60);
    INFO(result.output);
    REQUIRE(result.exit_code == 3);
    REQUIRE(fs::exists(run_folder + "/checkpoint"));
    REQUIRE_FALSE(fs::is_empty(run_folder + "/checkpoint"));
  }
}

TEST_CASE("two runs in one folder: the second is refused and names the first", "[integration]") {
  const TemporaryFolder folder;
  Process first(endless(folder / "run"));
  REQUIRE(first.wait_for_output("step 2", 60));
  const ProcessResult second = train(tiny_job(folder / "run"));
  INFO(second.output);
  REQUIRE(second.exit_code == 2);
  REQUIRE(second.mentions(std::to_string(first.pid())));
}

TEST_CASE("a killed rank ends the others and the launcher, with exit 1", "[integration]") {
  const TemporaryFolder folder;
  Process launcher(endless(folder / "run"), {{"NGPU", "2"}});
  REQUIRE(launcher.wait_for_output("step 5", 60));
  const ProcessResult children = run({"pgrep", "-P", std::to_string(launcher.pid())});
  const std::string last = children.output.substr(0, children.output.find('\n'));
  REQUIRE(run({"kill", "-9", last}).exit_code == 0);
  const ProcessResult result = launcher.wait(60);
  INFO(result.output);
  REQUIRE(result.exit_code == 1);
  REQUIRE(run({"pgrep", "-f", folder / "run"}).output.empty());
}
