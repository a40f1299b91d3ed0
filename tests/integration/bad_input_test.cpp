// What a user gets wrong, one case each: one clear message, the right exit code, nothing lost.
#include <filesystem>
#include <fstream>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

void refused(const std::vector<std::string>& extra, const std::vector<std::string>& mentions,
             int exit_code = 2, const std::map<std::string, std::string>& environment = {}) {
  const TemporaryFolder folder;
  const ProcessResult result = train(tiny_job(folder / "run", extra), environment);
  INFO(result.output);
  REQUIRE(result.exit_code == exit_code);
  for (const std::string& text : mentions) {
    INFO("looking for: " << text);
    REQUIRE(result.mentions(text));
  }
}

}  // namespace

TEST_CASE("unknown, misspelt and mistyped settings are named with the nearest match, all at once",
          "[integration]") {
  refused({"--training.stepz=3"}, {"training.stepz", "training.steps"});
  refused({"--training.steps=ten"}, {"training.steps", "ten"});
  refused({"--training.steps=0"}, {"training.steps"});
  refused({"--optimizer.lr=nan"}, {"optimizer.lr", "nan"});
  refused({"--training.steps=0", "--optimizer.lr=nan", "--model.flavour=S"},
          {"training.steps", "optimizer.lr", "model.flavour", "model.flavor"});
  refused({"--model.args.dmi=3"}, {"dmi", "dim"});
  refused({"--model.name=dti"}, {"dti", "known models", "dit"});
  refused({"--model.flavor=huge"}, {"huge", "debugmodel"});
}

TEST_CASE("a duplicate key and bad syntax are named with file and line", "[integration]") {
  const TemporaryFolder folder;
  std::ofstream(folder / "twice.toml") << "[training]\nsteps = 3\nsteps = 4\n";
  const ProcessResult twice =
      train({"--config=" + (folder / "twice.toml"), "--job.dump_folder=" + (folder / "run")});
  INFO(twice.output);
  REQUIRE(twice.exit_code == 2);
  REQUIRE(twice.mentions("twice.toml:3"));
  REQUIRE(twice.mentions("steps"));
  const ProcessResult missing = train({"--config=no_such_config"});
  INFO(missing.output);
  REQUIRE(missing.exit_code == 2);
  REQUIRE(missing.mentions("no_such_config"));
}

TEST_CASE("data that is missing, empty, too small or not images", "[integration]") {
  const TemporaryFolder folder;
  refused({"--training.dataset=nothing"}, {"nothing", "webdataset", "synthetic"});
  refused({"--training.dataset=class_folder", "--training.dataset_path=" + (folder / "absent")},
          {"absent"});
  fs::create_directories(folder / "empty");
  refused({"--training.dataset=webdataset", "--training.dataset_path=" + (folder / "empty")},
          {"empty"});
  fs::create_directories(folder / "broken/cat");
  for (int i = 0; i < 40; ++i)
    std::ofstream(folder / ("broken/cat/" + std::to_string(i) + ".jpg"))
        << "these are no pixels at all";
  refused({"--training.dataset=class_folder", "--training.dataset_path=" + (folder / "broken")},
          {"cat/", ".jpg"});
  refused({"--training.subset_size=4"}, {"training.subset_size=4", "global batch=8"});
}

TEST_CASE("a model with fewer classes than the data", "[integration]") {
  refused({"--model.args.num_classes=3"},
          {"model.args.num_classes=3", "dataset.num_classes", "10 classes"});
}

TEST_CASE("what LibTorch throws is said without its stack trace", "[integration]") {
  // Its own allocator throws its own exceptions.
  const std::vector<std::string> large_model = {"--model.args.dim=4000000"};
  const std::vector<std::string> large_grid = {
      "--sampling.enable=true", "--sampling.freq=1", "--sampling.num_samples=4000000",
      "--dataset.image_size=128,128", "--model.args.patch_size=16"};
  for (const auto& [settings, place] :
       {std::pair{large_model, std::string()},
        std::pair{large_grid, std::string("[train] pictures of")}}) {
    const TemporaryFolder folder;
    std::vector<std::string> extra = {"--memory.cpu_cache=false", "--memory.check_fit=false",
                                      "--training.steps=2"};
    extra.insert(extra.end(), settings.begin(), settings.end());
    const ProcessResult result = train(tiny_job(folder / "run", extra));
    INFO(result.output);
    REQUIRE(result.exit_code == 1);
    REQUIRE(result.mentions("allocate"));
    REQUIRE(result.mentions(place));
    REQUIRE_FALSE(result.mentions("frame #"));
  }
}

TEST_CASE("layouts that do not fit", "[integration]") {
  refused({"--training.global_batch_size=20"}, {"global_batch_size", "16 and 24"});
  refused({"--parallelism.data_parallel_replicate_degree=3"}, {"replicate", "3"});
  refused({"--parallelism.data_parallel_replicate_degree=1",
           "--parallelism.data_parallel_shard_degree=3"},
          {"replicate=1, shard=3, world_size=2"}, 2, {{"NGPU", "2"}});
  refused({"--parallelism.tensor_parallel_degree=2"}, {"tensor_parallel_degree"});
  refused({"--job.device=cuda"}, {"cuda"});
}

TEST_CASE("a run folder that cannot be written", "[integration]") {
  refused({"--job.dump_folder=/proc/titan"}, {"/proc/titan"});
}

TEST_CASE("a port in use is named", "[integration]") {
  const TemporaryFolder folder;
  Process holder({"python3", "-c",
                  "import "
                  "socket,time\ns=socket.socket()\ns.bind(('127.0.0.1',29618))\ns.listen()\nprint('"
                  "ready',flush=True)\ntime.sleep(60)"});
  REQUIRE(holder.wait_for_output("ready", 20));
  const ProcessResult result =
      train(tiny_job(folder / "run"), {{"NGPU", "2"}, {"MASTER_PORT", "29618"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 2);
  REQUIRE(result.mentions("29618"));
}
