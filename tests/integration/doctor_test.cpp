// `titan doctor` as it is called: alone, with two ranks, of jobs that are well and jobs that are
// not.
#include "tests/integration/training.h"
#include "tests/support/catch.h"

#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <future>

using namespace titan::testing;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

ProcessResult doctor(std::vector<std::string> arguments,
                     const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), {kTitanBinary, "doctor"});
  return run(arguments, environment, 120);
}

nlohmann::json report(const std::string& path) { return nlohmann::json::parse(slurp(path)); }

/// "ok", "warn" or "fail"; "" where the topic is not there.
std::string level_of(const nlohmann::json& report, const std::string& topic) {
  for (const nlohmann::json& one : report.at("findings"))
    if (one.at("topic") == topic) return one.at("level");
  return "";
}

std::string text_of(const nlohmann::json& report, const std::string& topic) {
  for (const nlohmann::json& one : report.at("findings"))
    if (one.at("topic") == topic)
      return one.at("text").get<std::string>() + " -> " + one.at("advice").get<std::string>();
  return "";
}

std::int64_t folder_bytes(const std::string& folder) {
  std::int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    bytes += static_cast<std::int64_t>(entry.file_size());
  return bytes;
}

}  // namespace

TEST_CASE("doctor: a job that is well, before and after it ran", "[integration]") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", json = folder / "doctor.json";
  const std::vector<std::string> job = tiny_job(run, {"--checkpoint.enable_checkpoint=true"});
  std::vector<std::string> arguments = job;
  arguments.push_back("--json=" + json);
  const ProcessResult before = doctor(arguments);
  INFO(before.output);
  REQUIRE(before.exit_code == 0);
  CHECK(before.mentions("0 failed"));
  CHECK_FALSE(fs::exists(run));  // it looks, it writes nothing that stays
  nlohmann::json seen = report(json);
  for (const char* topic :
       {"titan", "LibTorch", "processor", "memory", "open files", "/dev/shm", "wall clock",
        "run folder", "free space", "layout", "data set", "model", "memory plan", "checkpoint"}) {
    INFO(topic);
    CHECK((level_of(seen, topic) == "ok" || level_of(seen, topic) == "warn"));
  }
  CHECK_THAT(text_of(seen, "checkpoint"), Contains("the run starts anew"));
  const auto predicted = seen.at("checkpoint_bytes").get<double>();

  REQUIRE(train(job).exit_code == 0);
  const double written = static_cast<double>(folder_bytes(run + "/checkpoint/step-000006"));
  INFO("predicted " << predicted << ", written " << written);
  CHECK(written >= predicted);
  CHECK(written < 1.25 * predicted);  // index.json and names weigh much in so small a model
  std::vector<std::string> longer = arguments;
  longer.push_back("--training.steps=9");
  CHECK(doctor(longer).exit_code == 0);
  CHECK_THAT(text_of(report(json), "checkpoint"), Contains("step 6 of 9 (written by 1 rank)"));
  CHECK(doctor(arguments).exit_code == 0);
  CHECK(level_of(report(json), "checkpoint") == "warn");  // finished

  std::vector<std::string> other = longer;
  other.push_back("--model.args.dim=64");
  other.push_back("--training.seed=8");
  CHECK(doctor(other).exit_code == 1);
  CHECK_THAT(text_of(report(json), "checkpoint"), Contains("model") && Contains("seed"));
}

TEST_CASE("doctor: two ranks measure the link between them", "[integration]") {
  const TemporaryFolder folder;
  const std::string json = folder / "doctor.json";
  std::vector<std::string> arguments = tiny_job(folder / "run");
  arguments.push_back("--json=" + json);
  const ProcessResult result = doctor(arguments, {{"NGPU", "2"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  CHECK_FALSE(result.mentions("[rank"));  // the page, not a log
  const nlohmann::json seen = report(json);
  CHECK(seen.at("world_size") == 2);
  const auto& links = seen.at("links");
  CHECK(links.at("latency_s").at(0).at(1).get<double>() > 1e-7);
  CHECK(links.at("latency_s").at(0).at(1).get<double>() < 0.1);
  CHECK(links.at("bytes_per_s").at(0).at(1).get<double>() > 1e7);
  CHECK(links.at("all_reduce_bytes_per_s").get<double>() > 1e6);
  CHECK(std::abs(links.at("clock_offset_s").at(1).get<double>()) < 0.2);  // one clock
  for (const char* topic : {"in a host", "all-reduce", "ranks' clocks", "shared folder"})
    CHECK(level_of(seen, topic) == "ok");
  CHECK(level_of(seen, "scaling") != "");
  CHECK_THAT(text_of(seen, "layout"), Contains("FSDP"));
}

TEST_CASE("doctor: three ranks get a table", "[integration]") {
  const ProcessResult result =
      doctor({"--job.num_threads=1", "--training.img_size=16"}, {{"NGPU", "3"}});
  INFO(result.output);
  CHECK(result.exit_code == 0);
  CHECK(result.mentions("GB/s above the diagonal"));
}

TEST_CASE("doctor: what is wrong with a job is said, with exit code 1", "[integration]") {
  struct Case {
    std::string topic, said;
    std::vector<std::string> settings;
    std::future<ProcessResult> result = {};
  };
  const TemporaryFolder folder;
  std::vector<Case> cases;
  cases.push_back(
      {"data set",
       "none",
       {"--training.dataset=webdataset", "--training.dataset_path=" + (folder / "none")}});
  cases.push_back({"model", "patch_size", {"--model.args.patch_size=3"}});
  cases.push_back({"model", "dit", {"--model.name=nothing"}});
  cases.push_back({"layout",
                   "global_batch_size",
                   {"--training.batch_size=4", "--training.global_batch_size=10"}});
  cases.push_back({"memory plan",
                   "--training.batch_size=",
                   {"--memory.limit_gib=0.02", "--training.batch_size=512"}});
  cases.push_back({"run folder", "/proc/self", {"--job.dump_folder=/proc/self/run"}});
  cases.push_back({"driver", "job.device=cuda", {"--job.device=cuda"}});
  cases.push_back({"data set", "training.subset_size=3", {"--training.subset_size=3"}});
  cases.push_back(
      {"initial load", folder / "none", {"--checkpoint.initial_load_path=" + (folder / "none")}});
  cases.push_back({"initial load",
                   folder / "none",
                   {"--checkpoint.initial_load_path=" + (folder / "none"),
                    "--checkpoint.initial_load_model_weights_only=false"}});
  cases.push_back({"model", "model.args.num_classes=3", {"--model.args.num_classes=3"}});
  // Together: each spends its time watching the clock.
  for (std::size_t i = 0; i < cases.size(); ++i) {
    std::vector<std::string> arguments = tiny_job(folder / "run", cases[i].settings);
    arguments.push_back("--json=" + (folder / std::to_string(i)));
    cases[i].result = std::async(std::launch::async, [arguments] { return doctor(arguments); });
  }
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const ProcessResult result = cases[i].result.get();
    INFO(result.output);
    CHECK(result.exit_code == 1);
    CHECK(result.mentions("FAIL  " + cases[i].topic));
    const nlohmann::json seen = report(folder / std::to_string(i));
    CHECK(level_of(seen, cases[i].topic) == "fail");
    CHECK_THAT(text_of(seen, cases[i].topic), Contains(cases[i].said));
    const ProcessResult run = train(tiny_job(folder / "run", cases[i].settings));
    INFO(run.output);
    CHECK(run.exit_code == 2);
  }
}

TEST_CASE("doctor: what a run would start from is looked at as train does", "[integration]") {
  const TemporaryFolder folder;
  const std::string json = folder / "doctor.json", first = folder / "first";
  REQUIRE(train(tiny_job(first, {"--checkpoint.enable_checkpoint=true"})).exit_code == 0);
  struct Case {
    std::string level, said;
    std::vector<std::string> settings;
  };
  const std::string from = "--checkpoint.initial_load_path=" + first;
  const std::string whole = "--checkpoint.initial_load_model_weights_only=false";
  for (const Case& one :
       {Case{"ok", "weights that fit", {from}}, Case{"ok", "whole state of step 6", {from, whole}},
        Case{"fail", "another size", {from, "--model.args.n_layers=3"}},
        Case{"fail", "seed", {from, whole, "--training.seed=8"}}}) {
    const std::string run = folder / "second";
    std::vector<std::string> arguments = tiny_job(run, one.settings);
    arguments.push_back("--training.steps=8");
    const ProcessResult trained = train(arguments);
    fs::remove_all(run);
    arguments.push_back("--json=" + json);
    const ProcessResult result = doctor(arguments);
    INFO(result.output << trained.output);
    CHECK(result.exit_code == (one.level == "ok" ? 0 : 1));
    CHECK(trained.exit_code == (one.level == "ok" ? 0 : 2));
    CHECK(level_of(report(json), "initial load") == one.level);
    CHECK_THAT(text_of(report(json), "initial load"), Contains(one.said));
  }

  const std::string ended = folder / "ended";
  std::vector<std::string> alone = tiny_job(
      ended, {"--checkpoint.enable_checkpoint=true", "--checkpoint.model_weights_only=true"});
  REQUIRE(train(alone).exit_code == 0);
  alone.push_back("--json=" + json);
  CHECK(doctor(alone).exit_code == 0);
  CHECK(level_of(report(json), "checkpoint") == "warn");
  alone.push_back("--training.steps=9");
  CHECK(doctor(alone).exit_code == 1);
  CHECK_THAT(text_of(report(json), "checkpoint"), Contains("nothing to go on from"));
}

TEST_CASE("doctor: paths that a job has no use for are no matter", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> job =
      tiny_job(folder / "run", {"--encoder.empty_encodings_path=" + (folder / "none"),
                                "--encoder.t5_encoder=" + (folder / "none"),
                                "--training.dataset_path=" + (folder / "none")});
  const ProcessResult result = doctor(job);
  INFO(result.output);
  CHECK(result.exit_code == 0);
  CHECK(train(job).exit_code == 0);
}

TEST_CASE("doctor: encoders that are not there are named", "[integration]") {
  const TemporaryFolder folder;
  std::vector<std::string> arguments = tiny_flux(folder / "run");
  arguments.push_back("--encoder.t5_encoder=" + (folder / "t5"));
  const ProcessResult result = doctor(arguments);
  INFO(result.output);
  CHECK(result.exit_code == 1);
  CHECK(result.mentions("FAIL"));
  CHECK(result.mentions(folder / "t5"));
}

TEST_CASE("doctor: a full disk is said", "[integration]") {
  const TemporaryFolder folder;
  const std::string small = folder / "small";
  fs::create_directory(small);
  if (mount("tmpfs", small.c_str(), "tmpfs", 0, "size=8m") != 0)
    TITAN_SKIP("a file system can be mounted by root alone");
  const ProcessResult result = doctor(tiny_job(small + "/run"));
  umount(small.c_str());
  INFO(result.output);
  CHECK(result.exit_code == 1);
  CHECK(result.mentions("No space left"));
}

TEST_CASE("doctor: bad arguments, a bad config and ranks that do not come", "[integration]") {
  const TemporaryFolder folder;
  std::ofstream(folder / "bad.toml") << "[training]\nstepps = 5\n";
  CHECK(doctor({"--nonsense"}).exit_code == 2);
  CHECK(doctor({"--config", folder / "none.toml"}).exit_code == 2);
  CHECK(doctor({"--help"}).exit_code == 0);
  CHECK(doctor({}, {{"NGPU", "none"}}).exit_code == 2);
  const ProcessResult bad = doctor({"--config", folder / "bad.toml"});
  INFO(bad.output);
  CHECK(bad.exit_code == 1);
  CHECK(bad.mentions("FAIL  config"));
  CHECK(bad.mentions("training.steps?"));
  const ProcessResult alone =
      doctor({"--comm.init_timeout_seconds=2"}, {{"RANK", "0"},
                                                 {"WORLD_SIZE", "2"},
                                                 {"LOCAL_RANK", "0"},
                                                 {"LOCAL_WORLD_SIZE", "2"},
                                                 {"MASTER_ADDR", "127.0.0.1"},
                                                 {"MASTER_PORT", "29877"}});
  INFO(alone.output);
  CHECK(alone.exit_code == 1);
  CHECK(alone.mentions("ranks missing after 2 s: 1"));
}
