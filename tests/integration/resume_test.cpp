#include <csignal>
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> resumable(const std::string& folder, std::vector<std::string> extra = {}) {
  extra.insert(extra.begin(), {"--checkpoint.enable_checkpoint", "--checkpoint.interval=4",
                               "--checkpoint.keep_latest_k=0", "--ema.enable", "--ema.start_step=2",
                               "--training.steps=12"});
  return tiny_job(folder, extra);
}

std::string state_of(const std::string& folder, const std::string& step) {
  return slurp(folder + "/checkpoint/" + step + "/rank-00000.safetensors");
}

}  // namespace

TEST_CASE("N steps, kill -9, and N more end bit-equal with 2N in one go", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(resumable(folder / "whole")).exit_code == 0);
  {
    std::vector<std::string> command = {kTrainBinary};
    for (const std::string& argument : resumable(folder / "killed")) command.push_back(argument);
    Process process(command);
    while (!fs::exists(folder / "killed/checkpoint/step-000004/index.json")) usleep(1000);
    process.signal(SIGKILL);
    REQUIRE(process.wait().exit_code == 137);
  }
  const ProcessResult resumed = train(resumable(folder / "killed"));
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  const std::string whole = state_of(folder / "whole", "step-000012");
  REQUIRE(whole.size() > 1000);
  REQUIRE(state_of(folder / "killed", "step-000012") == whole);
  REQUIRE(losses(folder / "killed") == losses(folder / "whole"));
  REQUIRE(metric_lines(folder / "killed").size() == 12);
}

TEST_CASE("a longer run goes on from a finished one; a finished one says so", "[integration]") {
  const TemporaryFolder folder;
  // A constant rate: the schedule must not depend on training.steps for the two to agree.
  const std::vector<std::string> constant = {"--lr_scheduler.decay_ratio=0"};
  auto with_steps = [&](const std::string& name, int64_t steps) {
    auto arguments = resumable(folder / name, constant);
    arguments.push_back("--training.steps=" + std::to_string(steps));
    return train(arguments);
  };
  REQUIRE(with_steps("whole", 8).exit_code == 0);
  REQUIRE(with_steps("parts", 4).exit_code == 0);
  const ProcessResult again = with_steps("parts", 4);
  REQUIRE(again.exit_code == 0);
  INFO(again.output);
  REQUIRE(again.mentions("finished"));
  REQUIRE(again.mentions("--training.steps"));
  REQUIRE(with_steps("parts", 8).exit_code == 0);
  REQUIRE(state_of(folder / "parts", "step-000008") == state_of(folder / "whole", "step-000008"));
}

TEST_CASE("a changed model, seed or batch is refused by name, and allowed on request",
          "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(resumable(folder / "run")).exit_code == 0);
  const auto changed = [&](const std::string& change) {
    auto arguments = resumable(folder / "run", {"--training.steps=14"});
    arguments.push_back(change);
    return train(arguments);
  };
  const ProcessResult model = changed("--model.args.n_layers=3");
  INFO(model.output);
  REQUIRE(model.exit_code == 2);
  REQUIRE(model.mentions("model"));
  const ProcessResult seed = changed("--training.seed=8");
  INFO(seed.output);
  REQUIRE(seed.exit_code == 2);
  REQUIRE(seed.mentions("seed"));
  REQUIRE(seed.mentions("--checkpoint.allow_change=seed"));
  const ProcessResult batch = changed("--training.batch_size=4");
  REQUIRE(batch.exit_code == 2);
  REQUIRE(batch.mentions("global_batch_size"));
  const ProcessResult data = changed("--dataset.num_classes=5");
  REQUIRE(data.exit_code == 2);
  auto allowed = resumable(folder / "run", {"--training.steps=14", "--training.seed=8",
                                            "--checkpoint.allow_change=seed"});
  const ProcessResult result = train(allowed);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
}

TEST_CASE("an unset seed is drawn once and kept on resume", "[integration]") {
  const TemporaryFolder folder;
  auto unseeded = [&](int64_t steps) {
    std::vector<std::string> arguments;
    for (const std::string& argument : resumable(folder / "run"))
      if (argument.find("--training.seed") == std::string::npos) arguments.push_back(argument);
    arguments.push_back("--training.seed=None");
    arguments.push_back("--training.steps=" + std::to_string(steps));
    return train(arguments);
  };
  const ProcessResult first = unseeded(4);
  REQUIRE(first.exit_code == 0);
  REQUIRE(first.mentions("seed"));
  const ProcessResult second = unseeded(8);
  INFO(second.output);
  REQUIRE(second.exit_code == 0);
}

TEST_CASE("damaged checkpoints are named, and an older one can be chosen", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(resumable(folder / "run")).exit_code == 0);
  const std::string file = folder / "run/checkpoint/step-000012/rank-00000.safetensors";
  fs::resize_file(file, fs::file_size(file) / 2);
  const ProcessResult broken = train(resumable(folder / "run", {"--training.steps=14"}));
  INFO(broken.output);
  REQUIRE(broken.exit_code == 2);
  REQUIRE(broken.mentions("step-000012"));
  REQUIRE(broken.mentions("load_step"));
  const ProcessResult older =
      train(resumable(folder / "run", {"--training.steps=14", "--checkpoint.load_step=8"}));
  INFO(older.output);
  REQUIRE(older.exit_code == 0);
  REQUIRE(losses(folder / "run").size() == 14);
}
