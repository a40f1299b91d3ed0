#include "titan/metrics/trace_file.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "titan/io/atomic_file.h"

namespace titan::metrics {
namespace {

using Json = nlohmann::json;

double microseconds(std::int64_t ns) { return static_cast<double>(ns) / 1e3; }

Json unit_name(const TraceOwner& owner, int unit) {
  if (unit < 0) return nullptr;
  const auto number = static_cast<std::size_t>(unit);
  return number < owner.units.size() ? Json(owner.units[number]) : Json(unit);
}

const char* lane_name(TraceEvent::Lane lane) {
  return lane == TraceEvent::Lane::kHost ? "host" : "collective";
}

/// Rows for collectives, as many as are under way at a time: events of a row must not overlap.
class Rows {
 public:
  int row_of(const TraceEvent& event) {
    for (std::size_t i = 0; i < busy_until_.size(); ++i) {
      if (busy_until_[i] > event.begin_ns) continue;
      busy_until_[i] = event.end_ns;
      return static_cast<int>(i) + 1;
    }
    busy_until_.push_back(event.end_ns);
    return static_cast<int>(busy_until_.size());
  }

 private:
  std::vector<std::int64_t> busy_until_;
};

Json chrome_event(const TraceEvent& event, const TraceOwner& owner, int row, std::int64_t step) {
  Json json = {{"name", event.name},
               {"cat", lane_name(event.lane)},
               {"ph", "X"},
               {"pid", owner.rank},
               {"tid", row},
               {"ts", microseconds(event.begin_ns)},
               {"dur", microseconds(event.end_ns - event.begin_ns)},
               {"args", {{"step", step}}}};
  if (event.unit >= 0) {
    json["args"]["unit"] = unit_name(owner, event.unit);
    json["name"] = std::string(event.name) + " " +
                   (json["args"]["unit"].is_string() ? json["args"]["unit"].get<std::string>()
                                                     : std::to_string(event.unit));
  }
  if (event.bytes > 0) json["args"]["bytes"] = event.bytes;
  return json;
}

Json metadata(const char* what, int rank, int row, const std::string& name) {
  return {{"name", what}, {"ph", "M"}, {"pid", rank}, {"tid", row}, {"args", {{"name", name}}}};
}

std::string file_name(int rank, const char* ending) {
  char text[40];
  std::snprintf(text, sizeof text, "rank-%05d.%s", rank, ending);
  return text;
}

}  // namespace

std::string trace_json(const Trace& trace, const TraceOwner& owner, const std::string& reason) {
  Json steps = Json::array();
  for (const TraceStep& step : trace.steps()) {
    Json events = Json::array();
    std::int64_t waited = 0, last = step.begin_ns;
    for (const TraceEvent& event : step.events) {
      if (std::strcmp(event.name, kTraceWait) == 0) waited += event.end_ns - event.begin_ns;
      last = std::max(last, event.end_ns);
      events.push_back({{"name", event.name},
                        {"lane", lane_name(event.lane)},
                        {"unit", unit_name(owner, event.unit)},
                        {"bytes", event.bytes},
                        {"start_us", microseconds(event.begin_ns - step.begin_ns)},
                        {"us", microseconds(event.end_ns - event.begin_ns)}});
    }
    const std::int64_t end = step.end_ns != 0 ? step.end_ns : last;
    steps.push_back({{"step", step.step},
                     {"ended", step.end_ns != 0},
                     {"seconds", static_cast<double>(end - step.begin_ns) / 1e9},
                     {"exposed_s", static_cast<double>(waited) / 1e9},
                     {"events", std::move(events)}});
  }
  return Json{{"rank", owner.rank}, {"reason", reason}, {"steps", std::move(steps)}}.dump() + "\n";
}

std::string chrome_trace_json(const Trace& trace, const TraceOwner& owner) {
  Json events = {
      metadata("process_name", owner.rank, 0, "rank " + std::to_string(owner.rank)),
      metadata("thread_name", owner.rank, 0, "training"),
  };
  Rows rows;
  for (const TraceStep& step : trace.steps()) {
    std::vector<TraceEvent> sorted = step.events;
    std::sort(sorted.begin(), sorted.end(),
              [](const TraceEvent& a, const TraceEvent& b) { return a.begin_ns < b.begin_ns; });
    for (const TraceEvent& event : sorted) {
      const int row = event.lane == TraceEvent::Lane::kHost ? 0 : rows.row_of(event);
      events.push_back(chrome_event(event, owner, row, step.step));
    }
  }
  return Json{{"traceEvents", std::move(events)}}.dump() + "\n";
}

Status write_trace(const Trace& trace, const TraceOwner& owner, const std::string& folder,
                   const std::string& reason) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);  // the write below reports what is wrong
  TITAN_RETURN_IF_ERROR(write_file_atomically(folder + "/" + file_name(owner.rank, "json"),
                                              trace_json(trace, owner, reason)));
  return write_file_atomically(folder + "/" + file_name(owner.rank, "chrome.json"),
                               chrome_trace_json(trace, owner));
}

}  // namespace titan::metrics
