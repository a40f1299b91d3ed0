// fit.h: does a job fit, and if not, what would.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/plan/memory_plan.h"

namespace titan::plan {

/// Memory that one rank may use, and whose it is, for messages.
struct MemoryLimit {
  int64_t bytes = 0;  ///< 0 = unknown: everything fits
  std::string source;
};

/// memory.limit_gib; else the device's capacity (0 = unknown); else, where the device is the CPU,
/// this process's share of the machine's memory (or of its control group's).
MemoryLimit memory_limit(const JobConfig& config, c10::DeviceType device, int64_t device_capacity,
                         int64_t local_world_size);

/// Ways to make `layout` fit, the mildest first: "--training.batch_size=4 (12.3 GiB)".
std::vector<std::string> what_would_fit(const ShapeModel& model, const Layout& layout,
                                        int64_t limit_bytes);

/// Refuses a job whose plan exceeds the limit (kInvalidArgument, with the items and what would
/// fit). `layout.config` is the job's. A model that cannot run on shapes is let through with a
/// warning.
Status check_fits(const ModelSpec& spec, DataView data, const Layout& layout,
                  const MemoryLimit& limit);

/// "parameters 1.2 GiB, gradients 3.4 GiB, ...": items of the plan that are not zero.
std::string describe(const MemoryPlan& plan);

}  // namespace titan::plan
