#include "titan/base/trace.h"

#include <cstring>
#include <thread>

#include "tests/support/catch.h"

using titan::Trace;
using titan::TraceSpan;
using titan::TraceStep;

TEST_CASE("A trace keeps the last steps, oldest first", "[base]") {
  Trace trace(3);
  titan::set_current_trace(&trace);
  { const TraceSpan before("before any step"); }
  for (int step = 1; step <= 5; ++step) {
    trace.begin_step(step);
    for (int i = 0; i < step; ++i) const TraceSpan span("work", i, 8);
    if (step < 5) trace.end_step();
    if (step < 5) const TraceSpan between("between steps");
  }
  titan::set_current_trace(nullptr);
  { const TraceSpan nobody("no trace"); }
  const std::vector<TraceStep> steps = trace.steps();
  REQUIRE(steps.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(steps[i].step == static_cast<int64_t>(i) + 3);
    REQUIRE(steps[i].events.size() == i + 3);
    REQUIRE((steps[i].end_ns == 0) == (i == 2));
    REQUIRE(steps[i].events.back().unit == static_cast<int>(i) + 2);
    for (const titan::TraceEvent& event : steps[i].events) {
      REQUIRE(std::strcmp(event.name, "work") == 0);
      REQUIRE(event.begin_ns >= steps[i].begin_ns);
      REQUIRE(event.end_ns >= event.begin_ns);
    }
  }
  REQUIRE(std::strcmp(trace.last_activity().name, "between steps") != 0);
}

TEST_CASE("The exposed share is what was waited of the ended steps", "[base]") {
  Trace trace(4);
  REQUIRE(trace.exposed_share() == 0);
  titan::set_current_trace(&trace);
  trace.begin_step(1);
  {
    const TraceSpan span(titan::kTraceWait);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  {
    const TraceSpan span("work");
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  trace.end_step();
  titan::set_current_trace(nullptr);
  REQUIRE(trace.exposed_share() > 0.1);
  REQUIRE(trace.exposed_share() < 0.9);
}

TEST_CASE("Spans of other threads do not get into a thread's trace", "[base]") {
  Trace trace(1);
  titan::set_current_trace(&trace);
  trace.begin_step(1);
  std::thread([] { const TraceSpan span("elsewhere"); }).join();
  titan::set_current_trace(nullptr);
  REQUIRE(trace.steps().front().events.empty());
}

TEST_CASE("The last activity says where the thread is, and that it gets on", "[base]") {
  Trace trace(1);
  titan::set_current_trace(&trace);
  trace.begin_step(1);
  { const TraceSpan span("backward", 3); }
  const std::int64_t before = trace.last_activity().count;
  {
    const TraceSpan wait(titan::kTraceWait, -1, 0, "all-gather");
    trace.note("a sample");
    const Trace::Activity activity = trace.last_activity();
    CHECK(activity.open);
    CHECK(std::string(activity.name) == "wait");
    CHECK(std::string(activity.detail) == "all-gather");
    CHECK(std::string(activity.unit_work) == "backward");
    CHECK(activity.last_unit == 3);
    CHECK(activity.note == "a sample");
    CHECK(activity.count == before + 1);
  }
  CHECK_FALSE(trace.last_activity().open);
  CHECK(trace.last_activity().count == before + 2);
  trace.enter("data", -1);
  CHECK(trace.last_activity().note.empty());
  titan::set_current_trace(nullptr);
}
