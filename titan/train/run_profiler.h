// run_profiler.h: what [profiling] asks for: Kineto traces and memory snapshots of some steps,
// marks for Nsight Systems.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <c10/core/Device.h>

#include "titan/config/job_config.h"

namespace titan {

/// Steps of a window of profile_freq: first the profiler waits, then it warms up, then it records
/// the last profiler_active steps.
enum class ProfilerPhase { kWait, kWarmUp, kRecord };
ProfilerPhase profiler_phase(const ProfilingSection& settings, int64_t step);

/// Belongs to the training thread. Files: <run>/<save_traces_folder>/step-000100/rank-00000.json
/// and <run>/<save_memory_snapshot_folder>/step-000100/rank-00000.pickle (a GPU: for
/// pytorch.org/memory_viz) or .json (the CPU: the allocator's figures). Trouble with a file is
/// logged and ends nothing.
class RunProfiler {
 public:
  RunProfiler(const ProfilingSection& settings, c10::Device device, int rank,
              std::filesystem::path run_folder);
  ~RunProfiler();
  RunProfiler(const RunProfiler&) = delete;
  RunProfiler& operator=(const RunProfiler&) = delete;

  void begin_step(int64_t step);
  void end_step(int64_t step);
  /// Memory has run out in `step`: writes a snapshot where snapshots are on.
  void out_of_memory(int64_t step) noexcept;

 private:
  void finish_trace(int64_t step);
  void write_snapshot(const std::string& name);

  ProfilingSection settings_;
  c10::Device device_;
  int rank_;
  std::filesystem::path run_folder_;
  ProfilerPhase phase_ = ProfilerPhase::kWait;
};

}  // namespace titan
