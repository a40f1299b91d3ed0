#include "titan/train/run_folder.h"

#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/train/run_info.h"

using titan::RunFolder;
using titan::testing::TemporaryFolder;

TEST_CASE("a run folder is made with its parents and knows its places", "[train]") {
  const TemporaryFolder folder;
  const auto run = RunFolder::open(folder.file("a/b/run"));
  REQUIRE(run.ok());
  REQUIRE(std::filesystem::is_directory(folder.file("a/b/run")));
  REQUIRE(run->sample_path(100).string() == folder.file("a/b/run/samples/step-000100.png"));
  REQUIRE(run->metrics_path().string() == folder.file("a/b/run/metrics.jsonl"));
}

TEST_CASE(
    "a folder that a living run holds is refused with host and pid, and free again afterwards",
    "[train]") {
  const TemporaryFolder folder;
  {
    const auto first = RunFolder::open(folder.file("run"));
    REQUIRE(first.ok());
    const auto second = RunFolder::open(folder.file("run"));
    REQUIRE_FALSE(second.ok());
    REQUIRE(titan::exit_code_for(second.status()) == 2);
    REQUIRE(titan::message_of(second.status()).find(std::to_string(getpid())) != std::string::npos);
  }
  REQUIRE(RunFolder::open(folder.file("run")).ok());
}

TEST_CASE("a run folder that cannot be made is bad input and named", "[train]") {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "no folder");
  const auto run = RunFolder::open(file + "/run");
  REQUIRE_FALSE(run.ok());
  REQUIRE(titan::message_of(run.status()).find("file/run") != std::string::npos);
}

TEST_CASE("run.json keeps what sampling needs; a damaged one is named", "[train]") {
  const TemporaryFolder folder;
  const auto run = RunFolder::open(folder.file("run"));
  titan::RunInfo info;
  info.seed = 0xffffffffffffffffULL;
  info.sample_shape = {3, 8, 16};
  info.num_classes = 2;
  info.class_names = {"cat", "dog"};
  REQUIRE(titan::write_run_info(*run, info).ok());
  const auto read = titan::read_run_info(*run);
  REQUIRE(read.ok());
  REQUIRE(read->seed == info.seed);
  REQUIRE(read->sample_shape == info.sample_shape);
  REQUIRE(read->class_names == info.class_names);
  folder.write("run/run.json", "{\"seed\": 3");
  const auto damaged = titan::read_run_info(*run);
  REQUIRE_FALSE(damaged.ok());
  REQUIRE(titan::message_of(damaged.status()).find("run.json") != std::string::npos);
}
