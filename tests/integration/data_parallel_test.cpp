#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;

TEST_CASE("1, 2 and 3 ranks give the same losses for the same global batch", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(tiny_job(folder / "1", {"--training.batch_size=12"}), {{"NGPU", "1"}}).exit_code ==
          0);
  const auto one = losses(folder / "1");
  REQUIRE(one.size() == 6);
  for (const auto& [ranks, batch] :
       {std::pair{"2", "6"}, std::pair{"3", "4"}, std::pair{"2", "3"}}) {
    const std::string run_folder = folder / (std::string(ranks) + "x" + batch);
    const ProcessResult result =
        train(tiny_job(run_folder, {"--training.batch_size=" + std::string(batch),
                                    "--training.global_batch_size=12"}),
              {{"NGPU", ranks}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    // 2e-5: gradients summed in another order, carried through six AdamW steps.
    for (const auto& [step, loss] : losses(run_folder))
      REQUIRE(one.at(step) == Approx(loss).epsilon(2e-5));
  }
}

TEST_CASE("a deterministic job gives the same bits every time", "[integration]") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    const ProcessResult result =
        train(tiny_job(folder / name, {"--training.deterministic", "--training.batch_size=4",
                                       "--activation_checkpoint.mode=full"}),
              {{"NGPU", "2"}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
  }
  REQUIRE(losses(folder / "a") == losses(folder / "b"));
}

TEST_CASE("ranks started by hand with torchrun's variables find each other", "[integration]") {
  const TemporaryFolder folder;
  const auto rank = [&](const std::string& number) {
    std::vector<std::string> command = {kTrainBinary};
    for (const std::string& argument : tiny_job(folder / "run", {"--training.batch_size=4"}))
      command.push_back(argument);
    return std::make_unique<Process>(
        command, std::map<std::string, std::string>{{"RANK", number},
                                                    {"LOCAL_RANK", number},
                                                    {"WORLD_SIZE", "2"},
                                                    {"MASTER_ADDR", "127.0.0.1"},
                                                    {"MASTER_PORT", "29617"}});
  };
  const auto first = rank("0"), second = rank("1");
  const ProcessResult a = first->wait(), b = second->wait();
  INFO(a.output << b.output);
  REQUIRE(a.exit_code == 0);
  REQUIRE(b.exit_code == 0);
  REQUIRE(losses(folder / "run").size() == 6);
}

TEST_CASE("ranks do not shout over each other", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult quiet = train(tiny_job(folder / "quiet"), {{"NGPU", "2"}});
  REQUIRE(quiet.exit_code == 0);
  REQUIRE_FALSE(quiet.mentions("[rank 1]"));
  const ProcessResult both = train(tiny_job(folder / "both"), {{"NGPU", "2"}, {"LOG_RANK", "0,1"}});
  REQUIRE(both.exit_code == 0);
  REQUIRE(both.mentions("[rank 1]"));
}
