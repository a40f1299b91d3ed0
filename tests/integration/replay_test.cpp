#include <filesystem>
#include <fstream>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> recorded_run(const std::string& folder,
                                      std::vector<std::string> extra = {}) {
  extra.insert(extra.begin(),
               {"--checkpoint.enable_checkpoint", "--checkpoint.interval=4",
                "--checkpoint.keep_latest_k=0", "--ema.enable", "--training.steps=12"});
  return tiny_job(folder, extra);
}

ProcessResult replay(std::vector<std::string> arguments,
                     const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), {kTitanBinary, "replay"});
  return Process(arguments, environment).wait(180);
}

}  // namespace

TEST_CASE("A past step is repeated to the bit, from a checkpoint and from the seed",
          "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(recorded_run(folder / "run")).exit_code == 0);
  const std::string before = slurp(folder / "run/metrics.jsonl");
  const ProcessResult first = replay({folder / "run", "--step=7"});
  INFO(first.output);
  REQUIRE(first.exit_code == 0);
  REQUIRE(first.mentions("the checkpoint of step 4"));
  REQUIRE(first.mentions("the 3 records that the run logged of these steps are repeated"));
  REQUIRE(slurp(folder / "run/metrics.jsonl") == before);
  REQUIRE(fs::exists(folder / "run/replay/step-000007/rank-00000.jsonl"));

  fs::remove_all(folder / "run/checkpoint/step-000004");
  const ProcessResult again = replay({folder / "run", "--step=7", "--output=" + (folder / "seed"),
                                      "--against=" + (folder / "run/replay/step-000007")});
  INFO(again.output);
  REQUIRE(again.exit_code == 0);
  REQUIRE(again.mentions("from the seed"));
  REQUIRE(again.mentions("the 7 records"));
  REQUIRE(again.mentions("are equal to the bit"));

  // Other kernels round differently: weights of step 1 are the seed's, the first unit is named.
  const ProcessResult plain =
      replay({folder / "run", "--step=1", "--output=" + (folder / "fused")});
  REQUIRE(plain.exit_code == 0);
  const ProcessResult other =
      replay({folder / "run", "--step=1", "--output=" + (folder / "reference"),
              "--against=" + (folder / "fused"), "--kernels.backend=reference"});
  INFO(other.output);
  REQUIRE(other.exit_code == 1);
  REQUIRE(other.mentions("forward of "));
  REQUIRE(!other.mentions("weights of"));
  const ProcessResult compared = replay({folder / "fused", folder / "reference"});
  REQUIRE(compared.exit_code == 1);
  REQUIRE(compared.mentions("tensors of step 1 differ"));
}

TEST_CASE("Two ranks repeat a step of two ranks, and one sample can be followed", "[integration]") {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> two = {{"NGPU", "2"}};
  REQUIRE(train(recorded_run(folder / "run", {"--training.batch_size=2"}), two).exit_code == 0);
  REQUIRE(nlohmann::json::parse(slurp(folder / "run/run.json")).at("ranks_from") == "titan");
  const ProcessResult both = replay({folder / "run", "--step=6"}, two);
  INFO(both.output);
  REQUIRE(both.exit_code == 0);
  REQUIRE(both.mentions("are repeated in every digit"));
  const std::string second = slurp(folder / "run/replay/step-000006/rank-00001.jsonl");
  const auto header = nlohmann::json::parse(second.substr(0, second.find('\n')));
  REQUIRE(header.at("samples").size() == 2);
  const int64_t sample = header.at("samples").at(1).get<int64_t>();
  const ProcessResult one = replay({folder / "run", "--step=6", "--output=" + (folder / "one"),
                                    "--sample=" + std::to_string(sample)},
                                   two);
  INFO(one.output);
  REQUIRE(one.exit_code == 0);
  const std::string followed = slurp(folder / "one/rank-00001.jsonl");
  REQUIRE(followed.find("\"phase\":\"forward\"") != std::string::npos);
  REQUIRE(followed.find("\"phase\":\"loss\"") == std::string::npos);
  const std::string other = slurp(folder / "one/rank-00000.jsonl");
  REQUIRE(other.find("\"kind\":\"tensor\"") == std::string::npos);

  const ProcessResult absent = replay(
      {folder / "run", "--step=6", "--output=" + (folder / "none"), "--sample=99999999"}, two);
  REQUIRE(absent.exit_code == 2);
  REQUIRE(absent.mentions("is not in step 6, whose samples are"));
}

TEST_CASE("What an earlier replay left stays until another one is complete", "[integration]") {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> two = {{"NGPU", "2"}};
  REQUIRE(train(recorded_run(folder / "run", {"--training.batch_size=2"}), two).exit_code == 0);
  REQUIRE(replay({folder / "run", "--step=6"}, two).exit_code == 0);
  const std::string place = folder / "run/replay/step-000006";
  const std::string whole = slurp(place + "/rank-00000.jsonl");
  const auto samples = nlohmann::json::parse(whole.substr(0, whole.find('\n'))).at("samples");
  const std::string sample = std::to_string(samples.at(0).get<int64_t>());

  // A sample that is not there is known before any step, and leaves nothing behind.
  const ProcessResult absent =
      replay({folder / "run", "--step=6", "--output=" + place, "--sample=99999999"}, two);
  INFO(absent.output);
  REQUIRE(absent.exit_code == 2);
  REQUIRE(absent.mentions("is not in step 6, whose samples are"));
  REQUIRE(!absent.mentions("[train] done"));
  REQUIRE(slurp(place + "/rank-00000.jsonl") == whole);
  REQUIRE(!fs::exists(place + "/unfinished"));

  // One that is there has a folder of its own.
  REQUIRE(replay({folder / "run", "--step=6", "--sample=" + sample}, two).exit_code == 0);
  REQUIRE(fs::exists(place + "-sample-" + sample + "/rank-00001.jsonl"));
  REQUIRE(slurp(place + "/rank-00000.jsonl") == whole);

  // What cannot be compared is known before any step.
  const auto refused = [&](std::vector<std::string> arguments, const std::string& words) {
    arguments.insert(arguments.begin(), folder / "run");
    const ProcessResult result = replay(arguments, two);
    INFO(result.output);
    REQUIRE(result.exit_code == 2);
    REQUIRE(result.mentions(words));
    REQUIRE(!result.mentions("[train] done"));
    REQUIRE(slurp(place + "/rank-00000.jsonl") == whole);
  };
  const std::string elsewhere = "--output=" + (folder / "new");
  refused({"--step=6", elsewhere, "--against=" + (folder / "typo")}, "typo/rank-00000.jsonl");
  refused({"--step=5", elsewhere, "--against=" + place}, "step 6 and 5");
  refused({"--step=6", "--against=" + place}, "is where this replay goes");
  refused({"--step=6", "--output=" + (folder / "run")}, "is a run's folder");

  // A replay of fewer ranks leaves no file of the ranks that it has not.
  REQUIRE(replay({folder / "run", "--step=6", "--training.batch_size=4"}).exit_code == 0);
  REQUIRE(slurp(place + "/rank-00000.jsonl") != whole);
  REQUIRE(!fs::exists(place + "/rank-00001.jsonl"));
  REQUIRE(!fs::exists(place + "/unfinished"));
}

TEST_CASE("A replay that cannot be is refused in words", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(recorded_run(folder / "run")).exit_code == 0);
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& words) {
    const ProcessResult result = replay(arguments);
    INFO(result.output);
    REQUIRE(result.exit_code == 2);
    REQUIRE(result.mentions(words));
  };
  refused({folder / "run", "--step=13"}, "behind the run's last, 12");
  refused({folder / "run"}, "--step N");
  refused({folder / "nowhere", "--step=1"}, "no run folder");
  refused({folder / "run", "--step=1", "--sampel=3"}, "sampel");
  refused({folder / "run", folder / "run"}, "rank-00000.jsonl");
  std::ofstream(folder / "run/run.json") << "{";
  refused({folder / "run", "--step=1"}, "run.json cannot be read");
}
