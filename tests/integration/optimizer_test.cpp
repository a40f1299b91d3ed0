// optimizer.state_dtype and optimizer.master_weights from the command line to the checkpoint.
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kBFloat16 = {"--training.mixed_precision_param=bfloat16",
                                            "--training.mixed_precision_reduce=bfloat16"};

std::vector<std::string> job(const std::string& folder, const std::vector<std::string>& extra) {
  std::vector<std::string> arguments = {"--checkpoint.enable_checkpoint",
                                        "--checkpoint.interval=4",
                                        "--checkpoint.keep_latest_k=0",
                                        "--ema.enable",
                                        "--training.steps=12",
                                        "--sampling.enable",
                                        "--sampling.freq=3",
                                        "--sampling.num_samples=2",
                                        "--sampling.steps=2"};
  arguments.insert(arguments.end(), kBFloat16.begin(), kBFloat16.end());
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  return tiny_job(folder, arguments);
}

std::string state_of(const std::string& folder, const std::string& step) {
  return slurp(folder + "/checkpoint/" + step + "/rank-00000.safetensors");
}

double last_loss(const std::string& folder) { return losses(folder).rbegin()->second; }

}  // namespace

TEST_CASE("every storage of weights and moments trains, samples and resumes to the bit",
          "[integration]") {
  const std::string weights = GENERATE("float32", "remainder", "stochastic");
  const TemporaryFolder folder;
  const std::vector<std::string> storage = {"--optimizer.master_weights=" + weights,
                                            "--optimizer.state_dtype=bfloat16"};
  const ProcessResult whole = train(job(folder / "whole", storage));
  INFO(whole.output);
  REQUIRE(whole.exit_code == 0);
  // Another folder with the first checkpoint alone goes on from it.
  fs::create_directories(folder / "parts/checkpoint");
  fs::copy(folder / "whole/checkpoint/step-000004", folder / "parts/checkpoint/step-000004");
  const ProcessResult resumed = train(job(folder / "parts", storage));
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  REQUIRE(state_of(folder / "whole", "step-000012").size() > 1000);
  REQUIRE(state_of(folder / "parts", "step-000012") == state_of(folder / "whole", "step-000012"));
  REQUIRE(fs::exists(folder / "whole/samples/step-000003.png"));
}

TEST_CASE("a float32 checkpoint goes on in the compact storages and back", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(job(folder / "wide", {})).exit_code == 0);
  const auto go_on = [&](const std::string& name, const std::string& from, const std::string& step,
                         const std::vector<std::string>& storage) {
    fs::create_directories(folder / (name + "/checkpoint"));
    fs::copy(folder / (from + "/checkpoint/" + step), folder / (name + "/checkpoint/" + step));
    const ProcessResult result = train(job(folder / name, storage));
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return last_loss(folder / name);
  };
  const double wide = last_loss(folder / "wide");
  // With float32 moments the halves make the same updates; the model's copy of a weight differs
  // where the weight lies halfway between two bfloat16 values, of 65,536 weights one.
  REQUIRE(go_on("halves", "wide", "step-000004", {"--optimizer.master_weights=remainder"}) ==
          Approx(wide).epsilon(0.01));
  REQUIRE(go_on("compact", "wide", "step-000004",
                {"--optimizer.master_weights=remainder", "--optimizer.state_dtype=bfloat16"}) ==
          Approx(wide).epsilon(0.02));
  REQUIRE(go_on("back", "compact", "step-000008", {}) == Approx(wide).epsilon(0.02));
  REQUIRE(go_on("rounded", "wide", "step-000004",
                {"--optimizer.master_weights=stochastic", "--optimizer.state_dtype=bfloat16"}) ==
          Approx(wide).epsilon(0.05));
}

TEST_CASE("storages train on two ranks as on one", "[integration]") {
  const std::string strategy = GENERATE("fsdp", "zero1");
  const TemporaryFolder folder;
  const std::vector<std::string> storage = {
      "--optimizer.master_weights=remainder", "--optimizer.state_dtype=bfloat16",
      "--parallelism.shard_strategy=" + strategy, "--training.global_batch_size=8"};
  const auto with_batch = [&](const std::string& name, const char* batch) {
    auto arguments = job(folder / name, storage);
    arguments.push_back(std::string("--training.batch_size=") + batch);
    return arguments;
  };
  REQUIRE(train(with_batch("one", "8")).exit_code == 0);
  const ProcessResult two = train(with_batch("two", "4"), {{"NGPU", "2"}});
  INFO(two.output);
  REQUIRE(two.exit_code == 0);
  const auto a = losses(folder / "one"), b = losses(folder / "two");
  REQUIRE(b.size() == a.size());
  // bfloat16 gradients, summed in another order.
  for (const auto& [step, loss] : a) REQUIRE(b.at(step) == Approx(loss).epsilon(0.01));
}

TEST_CASE("storages that do not fit the job are refused by name", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult wide =
      train(tiny_job(folder / "wide", {"--optimizer.master_weights=remainder"}));
  REQUIRE(wide.exit_code == 2);
  REQUIRE(wide.mentions("optimizer.master_weights"));
  REQUIRE(wide.mentions("training.mixed_precision_param = float32"));
  const ProcessResult plain = train(job(
      folder / "plain", {"--optimizer.implementation=foreach", "--optimizer.state_dtype=bfloat16",
                         "--optimizer.master_weights=stochastic"}));
  REQUIRE(plain.exit_code == 2);
  REQUIRE(plain.mentions("optimizer.state_dtype"));
  REQUIRE(plain.mentions("stochastic needs optimizer.implementation = fused (given foreach)"));
}
