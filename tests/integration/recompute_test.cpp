#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;

namespace {

using Arguments = std::vector<std::string>;

const std::vector<Arguments> kModes = {
    {"--activation_checkpoint.mode=full"},
    {"--activation_checkpoint.mode=full", "--activation_checkpoint.fraction=0.5"},
    {"--activation_checkpoint.mode=selective"},
    {"--activation_checkpoint.mode=selective", "--activation_checkpoint.selective_ac_option=op"}};

Arguments joined(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("recompute changes no loss of a run, on any layout", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, Arguments>> layouts = {
      {"1", {}},
      {"2", {"--parallelism.shard_strategy=fsdp"}},
      {"2",
       {"--parallelism.shard_strategy=fsdp", "--parallelism.fsdp_reshard_after_forward=always",
        "--training.global_batch_size=24"}},
      {"2", {"--parallelism.shard_strategy=zero1"}},
      {"2",
       {"--parallelism.data_parallel_replicate_degree=2",
        "--parallelism.data_parallel_shard_degree=1"}}};
  int number = 0;
  const auto run_losses = [&](const std::string& ranks, const Arguments& arguments) {
    const std::string run_folder = folder / std::to_string(++number);
    const ProcessResult result = train(
        tiny_job(run_folder, joined(arguments, {"--training.batch_size=6", "--training.steps=3"})),
        {{"NGPU", ranks}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return losses(run_folder);
  };
  for (const auto& [ranks, layout] : layouts) {
    const auto none = run_losses(ranks, layout);
    REQUIRE(none.size() == 3);
    for (const Arguments& mode : kModes) {
      INFO(ranks << " ranks, " << (layout.empty() ? "" : layout.front()) << ", " << mode.back());
      REQUIRE(run_losses(ranks, joined(layout, mode)) == none);  // the same bits
    }
  }
}

TEST_CASE("a wrong option of activation checkpointing is bad input", "[integration]") {
  const TemporaryFolder folder;
  for (const auto& [argument, message] :
       {std::pair<std::string, std::string>{"selective_ac_option=two",
                                            "whole number of at least 1"},
        {"selective_ac_option=0", "whole number of at least 1"},
        {"mode=some", "none, full, selective"},
        {"fraction=1.5", "at most 1"},
        {"keep_ops=convolution", "attention"}}) {
    const ProcessResult result =
        train(tiny_job(folder / "run", {"--activation_checkpoint." + argument}));
    INFO(result.output);
    REQUIRE(result.exit_code == 2);
    REQUIRE(result.output.find("activation_checkpoint." + argument.substr(0, argument.find('='))) !=
            std::string::npos);
    REQUIRE(result.output.find(message) != std::string::npos);
  }
}
