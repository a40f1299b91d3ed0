// profiling.h: settings of traces and memory snapshots.
#pragma once

#include <cstdint>
#include <string>

#include "titan/config/fields.h"

namespace titan {

struct ProfilingSection {
  bool enable_profiling = false;
  std::string save_traces_folder = "profile_traces";
  int64_t profile_freq = 10;
  int64_t profiler_warmup = 3;
  int64_t profiler_active = 1;
  bool enable_memory_snapshot = false;
  std::string save_memory_snapshot_folder = "memory_snapshot";
  bool enable_nvtx = false;
};
template <class V>
void visit_fields(ProfilingSection& c, V&& v) {
  v("enable_profiling", c.enable_profiling,
    "write a Kineto trace (chrome://tracing, Perfetto) every profile_freq steps");
  v("save_traces_folder", c.save_traces_folder, "folder of the traces, inside the run folder");
  v("profile_freq", c.profile_freq, "steps from one trace, or memory snapshot, to the next",
    rule::at_least(1));
  v("profiler_warmup", c.profiler_warmup, "steps that run under the profiler before a trace",
    rule::at_least(0));
  v("profiler_active", c.profiler_active, "steps in a trace", rule::at_least(1));
  v("enable_memory_snapshot", c.enable_memory_snapshot,
    "write the allocator's blocks every profile_freq steps, and where memory runs out");
  v("save_memory_snapshot_folder", c.save_memory_snapshot_folder,
    "folder of the snapshots, inside the run folder");
  v("enable_nvtx", c.enable_nvtx, "mark phases and units of a step for Nsight Systems");
}

}  // namespace titan
