// memory_plan.h: what one rank of a job holds at its fullest moment, item by item.
#pragma once

#include <string>
#include <vector>

#include "titan/parallel/parallel_dims.h"
#include "titan/plan/step_walk.h"

namespace titan::plan {

/// How a job is laid out and fed.
struct Layout {
  std::string name;  ///< "configured", "FSDP", ...
  JobConfig config;  ///< its [parallelism] and [activation_checkpoint] are this layout's
  parallel::ParallelDims dims = {};
  int64_t micro_batch = 1;
  int64_t accumulation = 1;
  c10::DeviceType device = c10::DeviceType::CPU;
};

/// Bytes on one rank.
struct MemoryPlan {
  StaticBytes fixed;
  StepBytes step;
  int64_t encoders = 0;           ///< frozen networks
  int64_t optimizer_scratch = 0;  ///< of an update in plain operations
  int64_t loader = 0;             ///< batches read ahead, in host memory
  int64_t communicators = 0;      ///< and the device's context
  bool offload = false;
  bool is_host = true;  ///< the device is the host: one memory for all

  /// Largest use of the memory that the model computes in, and of the host's.
  int64_t device_bytes() const;
  int64_t host_bytes() const;
};

/// `layout`'s engine as the planner counts it.
StatusOr<EngineShape> engine_shape(const Layout& layout);

StatusOr<MemoryPlan> plan_memory(const ShapeModel& model, const Layout& layout);

/// The largest micro-batch whose plan stays within `limit_bytes`; 0 = not even one sample.
StatusOr<int64_t> largest_micro_batch(const ShapeModel& model, Layout layout, int64_t limit_bytes);

/// "DDP", "ZeRO-1", "FSDP", "HSDP" or "one rank": what the configuration is.
std::string strategy_name(const JobConfig& config, const parallel::ParallelDims& dims);

/// The configured layout, then every other on `world` ranks, each with its name; HSDP shards over
/// `ranks_per_node`. Degrees that do not divide are left out.
std::vector<Layout> strategies(const Layout& configured, int64_t world, int64_t ranks_per_node);

}  // namespace titan::plan
