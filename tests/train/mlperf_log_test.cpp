#include "tests/support/catch.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/metrics/mllog_rules.h"
#include "tests/support/temporary_folder.h"
#include "titan/train/mlperf_log.h"

namespace titan {
namespace {

using Json = nlohmann::ordered_json;
using testing::judge_mllog;
using testing::slurp;
using testing::TemporaryFolder;

const std::vector<std::string> kRulesets = {"5.1.0", "6.0.0", "6.1.0", "6.1.0 (4.1.68)"};

JobConfig flux_config() {
  JobConfig config;
  config.job.config_file = "train_configs/flux.toml";
  config.metrics.mlperf_logging = true;
  config.mlperf.submission_org = "an \"org\"";
  config.mlperf.submission_platform = "2 cores";
  config.optimizer.lr = 2e-4;
  config.lr_scheduler.warmup_steps = 1600;
  config.training.mixed_precision_param = "bfloat16";
  return config;
}

MlperfFacts facts() {
  return {.init_began_ms = metrics::mllog_time_ms() - 1000,
          .train_samples = 1099776,
          .eval_samples = 29696,
          .seed = 9007199254740993,
          .global_batch = 512,
          .micro_batch = 16,
          .accumulation = 2,
          .samples_between_evals = 262144,
          .cursor = 0,
          .show = false};
}

void evaluate(MlperfLog& log, int64_t samples, double loss) {
  log.eval_start(samples);
  log.eval_stop(samples, loss);
}

/// The log of a run that meets the target at its second evaluation.
std::string whole_log(const std::string& path) {
  auto log = MlperfLog::open(flux_config(), true, path, facts());
  REQUIRE(log.ok());
  (*log)->run_start();
  (*log)->before_step(0);
  (*log)->before_step(512);
  (*log)->record({.step = 2, .samples = 1024, .loss = 1.5, .lr = 2e-4, .step_s = 0.25});
  evaluate(**log, 262144, 0.7);
  (*log)->before_step(262144);
  evaluate(**log, 524288, 0.586);
  (*log)->run_stop(true, 524288);
  return slurp(path);
}

std::vector<Json> objects(const std::string& log) {
  std::vector<Json> all;
  std::istringstream text(log);
  std::string line;
  while (std::getline(text, line)) {
    REQUIRE(line.rfind(":::MLLOG {\"namespace\": \"\", \"time_ms\": ", 0) == 0);
    all.push_back(Json::parse(line.substr(9)));
  }
  return all;
}

std::vector<std::string> keys(const std::string& log) {
  std::vector<std::string> names;
  for (const Json& object : objects(log)) names.push_back(object["key"]);
  return names;
}

TEST_CASE("A run's log passes every rule set", "[metrics]") {
  const TemporaryFolder folder;
  const std::string log = whole_log(folder / "mlperf.log");
  for (const std::string& ruleset : kRulesets) {
    INFO(ruleset);
    CHECK(judge_mllog(log, ruleset).text().empty());
  }
  // The rules can fail: without its target, its platform, its frequency.
  for (const auto& [from, to] :
       {std::pair{"0.586", "0.5861"},
        {"\"2 cores\"", "\"\""},
        {"262144, \"metadata\": {\"file\"", "5, \"metadata\": {\"file\""}}) {
    std::string broken = log;
    const std::size_t at = broken.find(from);
    REQUIRE(at != std::string::npos);
    broken.replace(at, std::string(from).size(), to);
    CHECK_FALSE(judge_mllog(broken, "5.1.0").passes());
  }
}

TEST_CASE("MLPerf lines come in the benchmark's order, with the run's values", "[metrics]") {
  const TemporaryFolder folder;
  const std::string log = whole_log(folder / "mlperf.log");
  CHECK(keys(log) == std::vector<std::string>{"cache_clear",
                                              "init_start",
                                              "submission_benchmark",
                                              "submission_division",
                                              "submission_org",
                                              "submission_platform",
                                              "submission_status",
                                              "submission_poc_name",
                                              "submission_poc_email",
                                              "train_samples",
                                              "eval_samples",
                                              "seed",
                                              "global_batch_size",
                                              "micro_batch_size",
                                              "gradient_accumulation_steps",
                                              "evaluation_frequency",
                                              "lowest_numerical_precision_in_linear",
                                              "lowest_numerical_precision_in_attn",
                                              "lowest_numerical_precision_in_comm",
                                              "tensor_parallelism",
                                              "pipeline_parallelism",
                                              "context_parallelism",
                                              "expert_parallelism",
                                              "config_filename",
                                              "opt_name",
                                              "opt_base_learning_rate",
                                              "opt_learning_rate_warmup_steps",
                                              "opt_adamw_beta_1",
                                              "opt_adamw_beta_2",
                                              "opt_adamw_epsilon",
                                              "opt_adamw_weight_decay",
                                              "opt_gradient_clip_norm",
                                              "init_stop",
                                              "run_start",
                                              "block_start",
                                              "tracked_stats",
                                              "block_stop",
                                              "eval_start",
                                              "eval_accuracy",
                                              "eval_stop",
                                              "block_start",
                                              "block_stop",
                                              "eval_start",
                                              "eval_accuracy",
                                              "eval_stop",
                                              "run_stop"});
  int64_t time = 0;
  for (const Json& object : objects(log)) {
    CHECK(object["time_ms"].get<int64_t>() >= time);
    time = object["time_ms"];
    CHECK(object["metadata"]["file"] == "mlperf_log.cpp");
    CHECK(object["metadata"]["lineno"].get<int>() > 0);
    const std::string key = object["key"];
    if (key == "seed") CHECK(object["value"].dump() == "9007199254740993");
    if (key == "submission_org") CHECK(object["value"] == "an \"org\"");
    if (key == "lowest_numerical_precision_in_linear") CHECK(object["value"] == "bfloat16");
    if (key == "lowest_numerical_precision_in_comm") CHECK(object["value"] == "fp32");
    if (key == "gradient_accumulation_steps") CHECK(object["value"] == 2);
    if (key == "config_filename") CHECK(object["value"] == "flux.toml");
    if (key == "tracked_stats") {
      CHECK(object["value"].dump() ==
            R"({"throughput":null,"loss":1.5,"lr":0.0002,"train_step_time":0.25})");
      CHECK(object["metadata"]["samples_count"] == 1024);
      CHECK(object["metadata"]["step_num"] == 2);
    }
    if (key == "run_stop") {
      CHECK(object["metadata"]["status"] == "success");
      CHECK(object["event_type"] == "INTERVAL_END");
    }
  }
}

TEST_CASE("A resumed run goes on in its log", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder / "mlperf.log";
  const std::string before = whole_log(path);
  MlperfFacts later = facts();
  later.cursor = 300'000;  // after the first evaluation, within the second block
  {
    auto log = MlperfLog::open(flux_config(), true, path, later);
    REQUIRE(log.ok());
    (*log)->run_start();
    (*log)->before_step(300'000);
    evaluate(**log, 524'288, 0.5);
    (*log)->run_stop(true, 524'288);
  }
  const std::string after = slurp(path);
  for (const std::string& ruleset : kRulesets) CHECK(judge_mllog(after, ruleset).text().empty());
  const auto names = keys(after);
  CHECK(std::count(names.begin(), names.end(), "run_start") == 1);
  CHECK(std::count(names.begin(), names.end(), "run_stop") == 1);
  CHECK(std::count(names.begin(), names.end(), "block_start") == 2);
  CHECK(std::count(names.begin(), names.end(), "block_stop") == 2);
  CHECK(std::count(names.begin(), names.end(), "titan_resumed") == 1);
  CHECK(after.find("0.586") == std::string::npos);  // what the first course logged later is gone
}

TEST_CASE("An evaluation that was left before its end leaves no trace in the log that goes on",
          "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder / "mlperf.log";
  {
    auto log = MlperfLog::open(flux_config(), true, path, facts());
    REQUIRE(log.ok());
    (*log)->run_start();
    (*log)->before_step(0);
    (*log)->record({.step = 2, .samples = 1024, .loss = 1.5, .lr = 2e-4, .step_s = 0.25});
    (*log)->eval_start(262'144);
    (*log)->run_stop(false, 262'144);
  }
  MlperfFacts later = facts();
  later.cursor = 262'144;
  {
    auto log = MlperfLog::open(flux_config(), true, path, later);
    REQUIRE(log.ok());
    (*log)->run_start();
    evaluate(**log, 262'144, 0.5);
    (*log)->run_stop(true, 262'144);
  }
  const auto names = keys(slurp(path));
  for (const char* once : {"eval_start", "eval_stop", "eval_accuracy", "block_start", "block_stop"})
    CHECK(std::count(names.begin(), names.end(), once) == 1);
  for (const std::string& ruleset : kRulesets)
    CHECK(judge_mllog(slurp(path), ruleset).text().empty());
}

TEST_CASE("A fresh run begins its log anew; a failed one is aborted", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder / "mlperf.log";
  whole_log(path);
  {
    auto log = MlperfLog::open(flux_config(), true, path, facts());
    REQUIRE(log.ok());
    (*log)->run_start();
    (*log)->before_step(0);
    (*log)->before_step(512);
  }
  const auto all = objects(slurp(path));
  CHECK(all.back()["key"] == "run_stop");
  CHECK(all.back()["metadata"]["status"] == "aborted");
  CHECK(all.back()["metadata"]["samples_count"] == 512);
  CHECK(all[all.size() - 2]["key"] == "block_stop");
}

TEST_CASE("Without mlperf_logging, and on other ranks, nothing is written", "[metrics]") {
  const TemporaryFolder folder;
  JobConfig quiet = flux_config();
  quiet.metrics.mlperf_logging = false;
  for (const bool is_main : {true, false}) {
    auto log = MlperfLog::open(is_main ? quiet : flux_config(), is_main, folder / "x", facts());
    REQUIRE(log.ok());
    (*log)->run_start();
    (*log)->before_step(0);
    evaluate(**log, 1, 1);
    (*log)->run_stop(false, 1);
    CHECK_FALSE(std::filesystem::exists(folder / "x"));
  }
  CHECK_FALSE(MlperfLog::open(flux_config(), true, folder / "absent/x", facts()).ok());
}

}  // namespace
}  // namespace titan
