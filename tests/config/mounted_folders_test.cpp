#include "tests/support/catch.h"

#include "titan/config/mounted_folders.h"

#include <filesystem>

#include "tests/config/environment_variable.h"
#include "tests/support/temporary_folder.h"
#include "titan/config/loader.h"

using titan::config::resolve_mounted_path;
using titan::testing::EnvironmentVariable;
using titan::testing::TemporaryFolder;

TEST_CASE("a container's folders are this machine's where the variables say so", "[config]") {
  const TemporaryFolder scratch;
  const std::string root = scratch / "data";
  std::filesystem::create_directory(root);
  const EnvironmentVariable data("DATAROOT", root + "/");
  const EnvironmentVariable models("MODELROOT", "");
  CHECK(resolve_mounted_path("/dataset") == root);
  CHECK(resolve_mounted_path("/dataset/coco/{0..3}.tar") == root + "/coco/{0..3}.tar");
  CHECK(resolve_mounted_path("/datasets/coco") == "/datasets/coco");
  CHECK(resolve_mounted_path("x/dataset/coco") == "x/dataset/coco");
  CHECK(resolve_mounted_path("/models/t5") == "/models/t5");  // its variable is empty
}

TEST_CASE("what is really there is left alone", "[config]") {
  const TemporaryFolder scratch;
  const std::string place = scratch / "models";
  const std::vector<titan::config::MountedFolder> folders = {{place, "MODELROOT"}};
  std::filesystem::create_directories(place + "/t5");
  std::filesystem::create_directory(scratch / "host");
  {
    const EnvironmentVariable models("MODELROOT", scratch / "host");
    CHECK(resolve_mounted_path(place + "/t5", folders) == place + "/t5");
    CHECK(resolve_mounted_path(place + "/clip", folders) == (scratch / "host/clip"));
  }
  // Inside of a container the host's folder is out of sight: what is missing is missing in /models.
  const EnvironmentVariable models("MODELROOT", scratch / "out/of/sight");
  CHECK(resolve_mounted_path(place + "/clip", folders) == place + "/clip");
}

TEST_CASE("every value of a config is resolved: texts, lists, the model's own, the file's name",
          "[config]") {
  const TemporaryFolder scratch;
  const EnvironmentVariable data("DATAROOT", scratch / "d");
  const EnvironmentVariable models("MODELROOT", scratch / "m");
  const EnvironmentVariable logs("LOGDIR", scratch / "l");
  std::filesystem::create_directory(scratch / "m");
  scratch.write(
      "m/job.toml",
      "[training]\ndataset_path = \"/dataset/a\"\n[encoder]\nt5_encoder = \"/models/t5\"\n"
      "[model.args]\nweights = [\"/models/x\", \"other\"]\n");
  const auto loaded = titan::load_config(
      {"--config=/models/job.toml", "--job.dump_folder=/logdir/run",
       "--training.dataset_path=/dataset/b", "--model.args.more=[/dataset/c,/dataset/d]"});
  INFO((loaded.ok() ? "" : titan::message_of(loaded.status())));
  REQUIRE(loaded.ok());
  CHECK(loaded->config.job.dump_folder == (scratch / "l/run"));
  CHECK(loaded->config.training.dataset_path == (scratch / "d/b"));
  CHECK(loaded->config.encoder.t5_encoder == (scratch / "m/t5"));
  const auto& weights = loaded->config.model.args.at("weights").items;
  CHECK(std::get<std::string>(weights.at(0)) == (scratch / "m/x"));
  CHECK(std::get<std::string>(weights.at(1)) == "other");
  const auto& more = loaded->config.model.args.at("more").items;
  CHECK(std::get<titan::RawText>(more.at(0)).text ==
        "[" + (scratch / "d/c") + "," + (scratch / "d/d") + "]");
  CHECK(loaded->mapped.at("training.dataset_path").find("/dataset/b is") != std::string::npos);
  CHECK(loaded->mapped.size() == 5);
}
