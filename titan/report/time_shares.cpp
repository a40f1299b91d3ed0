#include "titan/report/time_shares.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "titan/base/check.h"
#include "titan/io/file_descriptor.h"

namespace titan::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMaxRanks = 64;
constexpr std::uint64_t kMaxTraceBytes = std::uint64_t{256} << 20;

std::vector<fs::path> trace_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("rank-") && name.ends_with(".json") && !name.ends_with(".chrome.json"))
      files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  if (files.size() <= kMaxRanks) return files;
  std::vector<fs::path> chosen;
  for (std::size_t i = 0; i < kMaxRanks; ++i)
    chosen.push_back(files[i * (files.size() - 1) / (kMaxRanks - 1)]);
  return chosen;
}

struct TracedTime {
  double seconds = 0, exposed_s = 0;
  std::int64_t first_step = 0, last_step = 0;
  int ranks = 0;
};

double number(const Json& json, const char* name) {
  return json.contains(name) && json[name].is_number() ? json[name].get<double>() : 0;
}

/// False where the file is no trace.
bool add_file(const fs::path& path, TracedTime& sum) {
  const StatusOr<std::string> text = read_file(path.string(), kMaxTraceBytes);
  if (!text.ok()) return false;
  const Json trace = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!trace.is_object() || !trace.contains("steps") || !trace["steps"].is_array()) return false;
  bool any = false;
  for (const Json& step : trace["steps"]) {
    if (!step.is_object() || step.value("ended", Json(true)) != Json(true)) continue;
    const auto at = static_cast<std::int64_t>(number(step, "step"));
    if (sum.seconds == 0 || at < sum.first_step) sum.first_step = at;
    sum.last_step = std::max(sum.last_step, at);
    sum.seconds += number(step, "seconds");
    sum.exposed_s += number(step, "exposed_s");
    any = true;
  }
  sum.ranks += any ? 1 : 0;
  return true;
}

}  // namespace

std::optional<ExposedCommunication> read_exposed_communication(const fs::path& folder,
                                                               std::vector<std::string>& notes) {
  TracedTime sum;
  for (const fs::path& path : trace_files(folder)) {
    if (!add_file(path, sum))
      notes.push_back(str_cat("trace/", path.filename().string(), " cannot be read as a trace"));
  }
  if (!(sum.seconds > 0)) return std::nullopt;
  return ExposedCommunication{.share = std::clamp(sum.exposed_s / sum.seconds, 0.0, 1.0),
                              .ranks = sum.ranks,
                              .first_step = sum.first_step,
                              .last_step = sum.last_step};
}

std::vector<std::pair<std::string, double>> time_shares(
    const RunRecords& records, const std::optional<ExposedCommunication>& exposed) {
  const TrainColumns& train = records.train;
  const auto step_s = train.values.find("step_s"), wait = train.values.find("data_wait_share");
  double steps_s = 0, data_s = 0;
  for (std::size_t i = 0; step_s != train.values.end() && i < train.step.size(); ++i) {
    const double seconds = step_s->second[i] * static_cast<double>(train.steps[i]);
    if (!std::isfinite(seconds)) continue;
    steps_s += seconds;
    const double share = wait == train.values.end() ? 0 : wait->second[i];
    if (std::isfinite(share)) data_s += std::clamp(share, 0.0, 1.0) * seconds;
  }
  double evaluation_s = 0, checkpoint_s = 0, sampling_s = 0;
  for (const EvalLine& eval : records.evals) {
    const auto seconds = eval.values.find("seconds");
    if (seconds != eval.values.end() && std::isfinite(seconds->second))
      evaluation_s += std::max(0.0, seconds->second);
  }
  for (const EventLine& event : records.events) {
    if (event.name == "checkpoint") checkpoint_s += event.seconds;
    if (event.name == "sample") sampling_s += event.seconds;
  }
  const double exposed_s = exposed ? std::min(exposed->share * steps_s, steps_s - data_s) : 0;
  return {{"compute", std::max(0.0, steps_s - data_s - exposed_s)},
          {"data wait", data_s},
          {"exposed communication", exposed_s},
          {"evaluation", evaluation_s},
          {"checkpoints", checkpoint_s},
          {"sampling", sampling_s}};
}

}  // namespace titan::report
