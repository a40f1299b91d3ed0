#include "titan/report/failure_cause.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "titan/io/file_descriptor.h"

namespace titan::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::uint64_t kMaxTraceBytes = std::uint64_t{256} << 20;
constexpr std::size_t kMaxRanks = 8;  // those that fail together say the same

std::int64_t last_step(const RunRecords& records) {
  return records.train.step.empty() ? 0 : records.train.step.back();
}

/// Empty for a trace that was asked for, or of steps before the last record.
std::string cause_of_trace(const fs::path& path, std::int64_t recorded) {
  const StatusOr<std::string> text = read_file(path.string(), kMaxTraceBytes);
  if (!text.ok()) return {};
  const Json trace = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!trace.is_object() || !trace.contains("reason") || !trace["reason"].is_string()) return {};
  const auto reason = trace["reason"].get<std::string>();
  if (reason == "trace.write_at" || reason.starts_with("asked for")) return {};
  const auto steps = trace.find("steps");
  if (steps == trace.end() || !steps->is_array() || steps->empty()) return {};
  const Json& last = steps->back();
  if (!last.is_object() || !last.contains("step") || !last["step"].is_number_integer() ||
      last["step"].get<std::int64_t>() < recorded)
    return {};
  return reason.substr(0, reason.find('\n'));
}

}  // namespace

/// Of the last process that wrote: a later one begins with "resume", or at steps behind the event.
std::string noted_cause(const RunRecords& records) {
  const std::string name = "cause: ";
  for (auto event = records.events.rbegin(); event != records.events.rend(); ++event) {
    if (event->name == "resume") break;
    if (event->name != "failed" || event->step < last_step(records)) continue;
    return event->text.starts_with(name) ? event->text.substr(name.size()) : event->text;
  }
  return {};
}

std::string traced_cause(const RunRecords& records, const fs::path& trace) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(trace, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("rank-") && name.ends_with(".json") && !name.ends_with(".chrome.json"))
      files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  files.resize(std::min(files.size(), kMaxRanks));
  for (const fs::path& file : files) {
    std::string cause = cause_of_trace(file, last_step(records));
    if (!cause.empty()) return cause;
  }
  return {};
}

}  // namespace titan::report
