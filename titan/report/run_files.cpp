#include "titan/report/run_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "titan/base/check.h"
#include "titan/io/file_descriptor.h"
#include "titan/report/failure_cause.h"
#include "titan/train/run_folder.h"

namespace titan::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Of run.json: names and shapes of classes are no facts for a page, and would flood it.
constexpr std::array kNotShown = {"class_names", "sample_fields"};

std::string fact_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array() &&
      std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_string(); })) {
    std::string words;
    for (const Json& item : value) words += (words.empty() ? "" : " ") + item.get<std::string>();
    return words;
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void read_facts(const RunFolder& folder, RunFiles& run) {
  const StatusOr<std::string> text = read_file(folder.info_path().string(), 64U << 20);
  if (!text.ok()) {
    run.notes.push_back("run.json is missing: no revision, versions and device to show");
    return;
  }
  const Json info = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!info.is_object()) {
    run.notes.push_back("run.json is cut short or no JSON: no revision, versions and device");
    return;
  }
  for (const auto& [name, value] : info.items()) {
    if (std::find(kNotShown.begin(), kNotShown.end(), name) == kNotShown.end())
      run.facts.emplace_back(name, fact_text(value));
  }
}

void read_settings(const RunFolder& folder, RunFiles& run) {
  const StatusOr<std::string> text = read_file(folder.config_path().string(), 64U << 20);
  if (!text.ok()) {
    run.notes.push_back("config.toml is missing: no settings to show or compare");
    return;
  }
  StatusOr<Settings> settings = parse_settings(*text, "config.toml");
  if (settings.ok()) {
    run.settings = *std::move(settings);
  } else {
    run.notes.push_back("config.toml cannot be read: " + message_of(settings.status()));
  }
}

void read_metrics(const RunFolder& folder, RunFiles& run) {
  const std::string path = folder.metrics_path().string();
  std::error_code ignored;
  const StatusOr<std::string> text = read_file(path, std::uint64_t{4} << 30);
  if (!text.ok()) {
    run.notes.push_back(fs::exists(path, ignored)
                            ? message_of(text.status())
                            : "metrics.jsonl is missing: there are no curves");
    return;
  }
  run.records = parse_records(*text);
  if (run.records.train.step.empty())
    run.notes.push_back("metrics.jsonl has no training step yet: there are no curves");
}

std::int64_t wanted_steps(const RunFiles& run) {
  if (!run.settings) return 0;
  const auto found = run.settings->find("training.steps");
  std::int64_t steps = 0;
  if (found != run.settings->end())
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), steps);
  return steps;
}

/// `failure`: why, of a failed run.
RunState state_of(const RunFiles& run, std::string& failure) {
  if (is_locked(run.path)) return RunState::kRunning;
  failure = noted_cause(run.records);
  if (!failure.empty()) return RunState::kFailed;
  const auto& train = run.records.train.step;
  if (run.num_steps > 0 && !train.empty() && train.back() >= run.num_steps)
    return RunState::kFinished;
  const auto& events = run.records.events;
  const auto said = [&](const char* name) {
    return std::any_of(events.begin(), events.end(), [&](const EventLine& event) {
      return event.name == name && (train.empty() || event.step >= train.back());
    });
  };
  if (said("target") || said("finish")) return RunState::kFinished;
  if (said("stop")) return RunState::kStopped;
  failure = traced_cause(run.records, RunFolder::view(run.path).trace_path());
  return failure.empty() ? RunState::kEnded : RunState::kFailed;
}

/// Pauses for evaluations and checkpoints are part of the pace.
std::optional<double> seconds_left(const RunFiles& run) {
  const TrainColumns& train = run.records.train;
  if (run.state != RunState::kRunning || train.step.size() < 2) return std::nullopt;
  const std::size_t from = (train.step.size() - 1) / 2;
  const double hours = train.hours.back() - train.hours[from];
  const auto steps = static_cast<double>(train.step.back() - train.step[from]);
  const auto left = static_cast<double>(run.num_steps - train.step.back());
  if (left < 0 || !(hours > 0) || steps <= 0) return std::nullopt;
  return 3600 * hours / steps * left;
}

bool is_run_folder(const fs::path& path) {
  for (const char* name : {"metrics.jsonl", "run.json", "config.toml", ".lock"}) {
    std::error_code ignored;
    if (fs::exists(path / name, ignored)) return true;
  }
  return false;
}

}  // namespace

StatusOr<RunFiles> read_run(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error))
    return invalid_argument("[report] ", path.string(), " is no folder",
                            fs::exists(path, error) ? "" : ": there is nothing");
  if (!is_run_folder(path))
    return not_found("[report] ", path.string(),
                     " is no run's folder: it has none of metrics.jsonl, run.json, config.toml");
  RunFiles run;
  run.path = fs::canonical(path, error);
  if (error) run.path = path;
  run.name = run.path.filename().string();
  const RunFolder folder = RunFolder::view(run.path);
  read_facts(folder, run);
  read_settings(folder, run);
  read_metrics(folder, run);
  run.notes.insert(run.notes.end(), run.records.notes.begin(), run.records.notes.end());
  run.exposed = read_exposed_communication(folder.trace_path(), run.notes);
  run.grids = find_grids(run.path / "samples");
  run.num_steps = wanted_steps(run);
  run.state = state_of(run, run.failure);
  run.left_s = seconds_left(run);
  if (run.state == RunState::kFailed) run.notes.push_back(str_cat("the run failed: ", run.failure));
  if (run.state == RunState::kEnded && !run.records.train.step.empty())
    run.notes.push_back("the run ended before its last step without a word: killed, or failed");
  return run;
}

}  // namespace titan::report
