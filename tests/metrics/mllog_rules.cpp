#include "tests/metrics/mllog_rules.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

namespace titan::testing {
namespace {

using Json = nlohmann::json;

struct Line {
  std::string key;
  double time_ms = 0;
  Json value;
  Json metadata;
  bool has(const char* name) const { return metadata.contains(name); }
  bool is_text(const std::string& text) const { return value == text; }
  bool is_number(double number) const { return value.is_number() && value == number; }
  bool at_least(double number) const { return value.is_number() && value.get<double>() >= number; }
};

struct Rules {
  bool precisions = false;  ///< values of the 6.x keys are checked
  bool disclosed = false;   ///< and they must be there
  std::vector<std::string> benchmarks;
};

const std::vector<std::string> kPrecisions = {
    "fp64", "fp32",  "tf32", "fp16", "fp8", "nvfp4", "mxfp4", "bfloat16", "Graphcore FLOAT 16.16",
    "int8", "uint8", "int4", "uint4"};

bool in(const Json& value, const std::vector<std::string>& list) {
  for (const std::string& item : list)
    if (value == item) return true;
  return false;
}

class Judge {
 public:
  explicit Judge(Rules rules) : rules_(std::move(rules)) {}

  MllogVerdict operator()(const std::string& log) {
    read(log);
    if (lines_.empty()) fail("no log lines");
    for (const Line& line : lines_) ++count_[line.key];
    check_submission();
    check_course();
    check_evaluations();
    check_optimizer();
    if (rules_.precisions) check_disclosures();
    return std::move(verdict_);
  }

 private:
  using Check = std::function<bool(const Line&)>;

  void fail(const std::string& problem) { verdict_.problems.push_back(problem); }

  void read(const std::string& log) {
    constexpr const char* kToken = ":::MLLOG ";
    std::istringstream text(log);
    std::string row;
    while (std::getline(text, row)) {
      const std::size_t token = row.rfind(kToken);
      if (token == std::string::npos) continue;
      const Json object = Json::parse(row.substr(token + std::strlen(kToken)), nullptr, false);
      const bool whole = object.is_object() && object.contains("key") &&
                         object["key"].is_string() && object.contains("value") &&
                         object.contains("metadata") && object.contains("time_ms") &&
                         object["time_ms"].is_number();
      if (!whole) {
        fail("a line that does not parse: " + row);
        continue;
      }
      lines_.push_back(
          {object["key"], object["time_ms"].get<double>(), object["value"], object["metadata"]});
    }
  }

  /// Every line with this key satisfies the check.
  void each(const std::string& key, const std::string& rule, const Check& check) {
    for (const Line& line : lines_)
      if (line.key == key && !check(line))
        fail(key + ": " + rule + " (value " + line.value.dump() + ")");
  }
  /// Exactly one, or repeats with an equal value (a warning), each satisfying the check.
  void one(const std::string& key, const std::string& rule, const Check& check) {
    const int found = count_[key];
    if (found == 0) fail(key + " is missing");
    if (found > 1) {
      const Line* first = nullptr;
      bool equal = true;
      for (const Line& line : lines_) {
        if (line.key != key) continue;
        if (first == nullptr) first = &line;
        equal = equal && line.value == first->value;
      }
      if (equal) {
        verdict_.warnings.push_back(key + " appears more than once, with one value");
      } else {
        fail(key + " appears more than once, with different values");
      }
    }
    each(key, rule, check);
  }
  void some(const std::vector<std::string>& keys) {
    std::string names;
    for (const std::string& key : keys) {
      if (count_[key] > 0) return;
      names += (names.empty() ? "" : " or ") + key;
    }
    fail(names + " is missing");
  }

  void check_submission() {
    const Check filled = [](const Line& line) { return line.value != ""; };
    for (const char* key :
         {"submission_org", "submission_platform", "train_samples", "eval_samples"})
      one(key, "is not empty", filled);
    one("submission_division", "closed or open", [this](const Line& line) {
      open_ = line.is_text("open");
      return open_ || line.is_text("closed");
    });
    one("submission_benchmark", "is one of the rule set's",
        [this](const Line& line) { return in(line.value, rules_.benchmarks); });
    one("gradient_accumulation_steps", "above 0",
        [](const Line& line) { return line.value.is_number() && line.value.get<double>() > 0; });
    some({"cache_clear"});
  }

  /// init, run and blocks in their order.
  void check_course() {
    bool init_started = false, init_stopped = false, run_started = false;
    double began_ms = 0;
    const double longest_ms = (open_ ? 240.0 : 30.0) * 60e3;
    for (const Line& line : lines_) {
      if (line.key == "init_start") {
        if (init_stopped || run_started) fail("init_start after init_stop or run_start");
        began_ms = init_started ? std::min(began_ms, line.time_ms) : line.time_ms;
        init_started = true;
      } else if (line.key == "init_stop") {
        if (!init_started) fail("init_stop before init_start");
        if (run_started) fail("init_stop after run_start");
        if (init_started && line.time_ms - began_ms >= longest_ms) fail("init takes too long");
        init_stopped = true;
      } else if (line.key == "run_start") {
        if (!init_stopped) fail("run_start before init_stop");
        run_started = true;
      } else if (line.key == "run_stop" || line.key == "block_start") {
        if (!run_started) fail(line.key + " before run_start");
      }
    }
    const Check any = [](const Line&) { return true; };
    some({"init_start"});
    one("init_stop", "", any);
    one("run_start", "", any);
    one("run_stop", "has a status", [](const Line& line) { return line.has("status"); });
    check_blocks();
  }

  void check_blocks() {
    some({"block_start", "epoch_start"});
    some({"block_stop", "epoch_stop"});
    some({"eval_start", "block_start"});
    some({"eval_stop", "block_stop"});
    each("block_start", "says where it begins", [](const Line& line) {
      const bool by_samples = line.has("samples_count") && line.metadata["samples_count"] >= 0;
      if (!line.has("epoch_count")) return by_samples;
      return line.has("first_epoch_num") && line.metadata["epoch_count"] > 0 &&
             (!line.has("samples_count") || by_samples);
    });
    each("block_stop", "says where it ends",
         [](const Line& line) { return line.has("samples_count") || line.has("first_epoch_num"); });
    for (const char* key : {"eval_start", "eval_stop", "epoch_start", "epoch_stop"})
      each(key, "says where it is",
           [](const Line& line) { return line.has("samples_count") || line.has("epoch_num"); });
  }

  void check_evaluations() {
    some({"eval_accuracy"});
    each("eval_accuracy", "says after how many samples",
         [](const Line& line) { return line.has("samples_count"); });
    const std::string key = open_ ? "averaged_validation_loss" : "eval_accuracy";
    some({key});
    bool met = false;
    for (const Line& line : lines_)
      met = met ||
            (line.key == key && line.value.is_number() && line.value > 0.0 && line.value <= 0.586);
    if (!met) fail("no evaluation reaches 0.586");
  }

  void check_optimizer() {
    if (open_) return;
    double interval = 262144;
    some({"global_batch_size"});
    each("global_batch_size", "at least 0", [&](const Line& line) {
      if (!line.at_least(0)) return false;
      const double batch = line.value.get<double>();
      if (rules_.disclosed && batch > 0) interval = std::ceil(262144 / batch) * batch;
      return true;
    });
    one("evaluation_frequency", "262144 samples",
        [&](const Line& line) { return line.is_number(interval); });
    one("opt_name", "adamw", [](const Line& line) { return line.is_text("adamw"); });
    const std::map<std::string, double> fixed = {{"opt_adamw_beta_1", 0.9},
                                                 {"opt_adamw_beta_2", 0.95},
                                                 {"opt_adamw_epsilon", 1e-8},
                                                 {"opt_adamw_weight_decay", 0.1},
                                                 {"opt_gradient_clip_norm", 1.0}};
    for (const auto& [name, value] : fixed)
      one(name, "is " + std::to_string(value),
          [number = value](const Line& line) { return line.is_number(number); });
    for (const char* name : {"opt_base_learning_rate", "opt_learning_rate_warmup_steps"})
      one(name, "at least 0", [](const Line& line) { return line.at_least(0); });
  }

  void check_disclosures() {
    const auto checked = [&](const std::string& key, const std::string& rule, const Check& check) {
      if (rules_.disclosed) return one(key, rule, check);
      return each(key, rule, check);
    };
    for (const char* part : {"linear", "attn", "comm"})
      checked(std::string("lowest_numerical_precision_in_") + part, "a known format",
              [this](const Line& line) {
                return in(line.value, kPrecisions) || (rules_.disclosed && line.is_text("mxfp6"));
              });
    for (const char* key : {"tensor_parallelism", "pipeline_parallelism", "context_parallelism",
                            "expert_parallelism", "micro_batch_size"})
      checked(key, "a whole number", [this](const Line& line) {
        if (!line.value.is_number()) return false;
        const double number = line.value.get<double>();
        return std::abs(std::round(number) - number) < 1e-5 && (!rules_.disclosed || number >= 1);
      });
    checked("config_filename", "is not empty",
            [this](const Line& line) { return !rules_.disclosed || line.value != ""; });
  }

  Rules rules_;
  std::vector<Line> lines_;
  std::map<std::string, int> count_;
  bool open_ = false;
  MllogVerdict verdict_;
};

}  // namespace

std::string MllogVerdict::text() const {
  std::string all;
  for (const std::string& problem : problems) all += problem + "\n";
  return all;
}

MllogVerdict judge_mllog(const std::string& log, const std::string& ruleset) {
  const std::vector<std::string> sixth = {"flux1",       "llama31_8b",      "llama2_70b_lora",
                                          "gpt_oss_20b", "deepseekv3_671b", "qwen35_397b_grpo"};
  const std::map<std::string, Rules> all = {
      {"5.1.0",
       {false,
        false,
        {"retinanet", "flux1", "dlrm_dcnv2", "llama31_8b", "rgat", "llama2_70b_lora",
         "llama31_405b"}}},
      {"6.0.0", {true, false, sixth}},
      {"6.1.0", {true, false, sixth}},
      {"6.1.0 (4.1.68)", {true, true, sixth}},
  };
  const auto found = all.find(ruleset);
  if (found == all.end()) return {{"unknown rule set " + ruleset}, {}};
  return Judge(found->second)(log);
}

}  // namespace titan::testing
