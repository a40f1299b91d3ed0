#include "titan/metrics/trace_file.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using nlohmann::json;
using titan::Trace;
using titan::TraceEvent;

namespace {

void fill(Trace& trace) {
  trace.begin_step(7);
  const int64_t t = Trace::now_ns();
  trace.add({.name = "forward", .unit = 1, .begin_ns = t, .end_ns = t + 5'000});
  trace.add({.name = titan::kTraceWait, .begin_ns = t + 5'000, .end_ns = t + 9'000});
  const auto lane = TraceEvent::Lane::kCollective;
  trace.add({.name = "all-gather", .lane = lane, .bytes = 64, .begin_ns = t, .end_ns = t + 9'000});
  trace.add({.name = "all-gather",
             .lane = lane,
             .bytes = 32,
             .begin_ns = t + 1'000,
             .end_ns = t + 2'000});
  trace.add({.name = "all-reduce", .lane = lane, .begin_ns = t + 9'500, .end_ns = t + 9'600});
}

const titan::metrics::TraceOwner kOwner{.rank = 3, .units = {"embed", "block.0", "head"}};

}  // namespace

TEST_CASE("A trace as JSON says what each step did and waited", "[metrics]") {
  Trace trace(2);
  fill(trace);
  const json parsed = json::parse(titan::metrics::trace_json(trace, kOwner, "a test"));
  REQUIRE(parsed.at("rank") == 3);
  REQUIRE(parsed.at("reason") == "a test");
  const json& step = parsed.at("steps").at(0);
  REQUIRE(step.at("step") == 7);
  REQUIRE(step.at("ended") == false);
  REQUIRE(step.at("exposed_s").get<double>() == Approx(4e-6));
  REQUIRE(step.at("events").size() == 5);
  REQUIRE(step.at("events").at(0).at("unit") == "block.0");
  REQUIRE(step.at("events").at(2).at("bytes") == 64);
}

TEST_CASE("In a Chrome trace no two events of a row overlap", "[metrics]") {
  Trace trace(2);
  fill(trace);
  const json parsed = json::parse(titan::metrics::chrome_trace_json(trace, kOwner));
  std::map<int, std::vector<std::pair<double, double>>> rows;
  for (const json& event : parsed.at("traceEvents")) {
    REQUIRE(event.at("pid") == 3);
    if (event.at("ph") != "X") continue;
    const double begin = event.at("ts"), end = begin + event.at("dur").get<double>();
    for (const auto& [other_begin, other_end] : rows[event.at("tid")])
      REQUIRE((end <= other_begin + 1e-3 || begin >= other_end - 1e-3));
    rows[event.at("tid")].emplace_back(begin, end);
  }
  REQUIRE(rows.size() == 3);  // the training thread, two collectives at a time
  REQUIRE(rows[0].size() == 2);
}

TEST_CASE("A trace is written under the rank's name; a bad folder is an error", "[metrics]") {
  Trace trace(2);
  fill(trace);
  const titan::testing::TemporaryFolder folder;
  REQUIRE(titan::metrics::write_trace(trace, kOwner, folder / "trace", "test").ok());
  REQUIRE(std::filesystem::exists(folder / "trace/rank-00003.json"));
  REQUIRE(std::filesystem::exists(folder / "trace/rank-00003.chrome.json"));
  REQUIRE_FALSE(titan::metrics::write_trace(trace, kOwner, "/proc/nowhere", "test").ok());
}
