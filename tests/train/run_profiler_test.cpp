#include "titan/train/run_profiler.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <nlohmann/json.hpp>

#include "titan/base/trace.h"

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using titan::ProfilerPhase;

TEST_CASE("A window waits, warms up, and records its last steps", "[train]") {
  titan::ProfilingSection settings;
  settings.profile_freq = 10;
  settings.profiler_warmup = 3;
  settings.profiler_active = 2;
  for (int64_t step = 1; step <= 30; ++step) {
    const int64_t place = (step - 1) % 10 + 1;
    const ProfilerPhase expected = place <= 5   ? ProfilerPhase::kWait
                                   : place <= 8 ? ProfilerPhase::kWarmUp
                                                : ProfilerPhase::kRecord;
    REQUIRE(titan::profiler_phase(settings, step) == expected);
  }
}

TEST_CASE("Traces and snapshots of the chosen steps are written, with our spans in them",
          "[train]") {
  const titan::testing::TemporaryFolder folder;
  titan::ProfilingSection settings;
  settings.enable_profiling = settings.enable_memory_snapshot = true;
  settings.profile_freq = 4;
  settings.profiler_warmup = 1;
  settings.profiler_active = 2;
  {
    titan::RunProfiler profiler(settings, at::kCPU, /*rank=*/1, folder.path());
    for (int64_t step = 1; step <= 6; ++step) {  // the second window is cut short
      profiler.begin_step(step);
      {
        const titan::TraceSpan span("forward", 7);
        (void)at::mm(at::ones({4, 4}), at::ones({4, 4}));
      }
      profiler.end_step(step);
    }
    profiler.out_of_memory(7);
  }
  std::ifstream file(folder.path() / "profile_traces/step-000004/rank-00001.json");
  REQUIRE(file.good());
  const nlohmann::json trace = nlohmann::json::parse(file);
  int spans = 0, products = 0;
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    if (event.value("ph", "") != "X") continue;
    spans += event.at("name") == "forward 7" ? 1 : 0;
    products += event.at("name") == "aten::mm" ? 1 : 0;
  }
  REQUIRE(spans == 2);
  REQUIRE(products == 2);
  REQUIRE_FALSE(std::filesystem::exists(folder.path() / "profile_traces/step-000008"));
  for (const char* name : {"step-000004", "step-000007-out-of-memory"}) {
    std::ifstream snapshot(folder.path() / "memory_snapshot" / name / "rank-00001.json");
    REQUIRE(snapshot.good());
    REQUIRE(nlohmann::json::parse(snapshot).contains("peak_active"));
  }
}
