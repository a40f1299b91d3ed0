#include "titan/plan/memory_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include <c10/core/ScalarType.h>

#include "titan/parallel/engine.h"

namespace titan::plan {
namespace {

// Rules of thumb, not measured here: a CUDA context with its libraries' kernels and workspaces, and
// NCCL's channels and staging buffers of one communicator inside a node.
constexpr int64_t kDeviceContext = 700LL << 20;
constexpr int64_t kCommunicator = 256LL << 20;

int64_t communicators(const parallel::ParallelDims& dims) {
  if (dims.world_size() == 1) return 0;
  return 1 + (dims.dp_shard > 1 ? 2 : 0) + (dims.dp_replicate > 1 ? 1 : 0);  // 1: control
}

/// The plain update makes three results of a unit's length at a time.
int64_t optimizer_scratch(const JobConfig& config, const std::vector<parallel::UnitLayout>& units) {
  if (config.optimizer.implementation == "fused") return 0;
  int64_t longest = 0;
  for (const parallel::UnitLayout& unit : units) longest = std::max(longest, unit.shard_length);
  return 3 * longest * static_cast<int64_t>(sizeof(float));
}

}  // namespace

int64_t MemoryPlan::device_bytes() const {
  int64_t bytes = fixed.total() + encoders + step.gather_slots + step.message_slots +
                  std::max(step.activations, optimizer_scratch) + communicators;
  if (is_host) return bytes + loader;
  return offload ? bytes - fixed.state() : bytes;
}

int64_t MemoryPlan::host_bytes() const {
  if (is_host) return device_bytes();
  return loader + (offload ? fixed.state() : 0);
}

StatusOr<EngineShape> engine_shape(const Layout& layout) {
  TITAN_ASSIGN_OR_RETURN(
      const parallel::EngineOptions options,
      parallel::engine_options(layout.config, parallel::DeviceMesh(layout.dims, 0), layout.device));
  const parallel::MasterWeights master = options.parameters.master;
  const auto size = [](at::ScalarType type) {
    return static_cast<int64_t>(c10::elementSize(type));
  };
  return EngineShape{
      .shard_ranks = layout.dims.dp_shard,
      .replicas = layout.dims.dp_replicate,
      .resident = options.parameters.resident,
      .offload = options.parameters.offload,
      .compute_size = size(options.parameters.compute_dtype),
      .reduce_size = size(options.reduction.dtype),
      .weight_size = master == parallel::MasterWeights::kFloat32 ? 4 : 2,
      .remainder_size = master == parallel::MasterWeights::kRemainder ? 2 : 0,
      .gradient_size = size(parallel::gradient_dtype(layout.config, layout.accumulation)),
      .moment_size = layout.config.optimizer.state_dtype == "bfloat16" ? 2 : 4,
      .reshard = options.reshard,
      .prefetch = options.prefetch,
      .bucket_bytes = options.reduction.bucket_bytes,
      .each_micro_batch = options.reduction.each_micro_batch,
      .accumulation = layout.accumulation,
      .copies_in_flight =
          layout.device == c10::DeviceType::CPU && layout.config.comm.cpu_backend == "gloo"};
}

StatusOr<MemoryPlan> plan_memory(const ShapeModel& model, const Layout& layout) {
  TITAN_ASSIGN_OR_RETURN(const EngineShape shape, engine_shape(layout));
  const std::vector<parallel::UnitLayout> units = model.layouts(shape.shard_ranks);
  MemoryPlan plan;
  plan.is_host = layout.device == c10::DeviceType::CPU;
  plan.offload = shape.offload;
  plan.fixed = static_bytes(units, shape, layout.config.ema.enable);
  TITAN_ASSIGN_OR_RETURN(
      plan.step, walk_step(model, layout.config, units, shape, layout.micro_batch, layout.device));
  plan.encoders = model.encoder_bytes(shape.shard_ranks);
  plan.optimizer_scratch = optimizer_scratch(layout.config, units);
  plan.loader = layout.config.dataset.prefetch_batches * model.batch_bytes(layout.micro_batch);
  if (!plan.is_host)
    plan.communicators = kDeviceContext + communicators(layout.dims) * kCommunicator;
  return plan;
}

StatusOr<int64_t> largest_micro_batch(const ShapeModel& model, Layout layout, int64_t limit_bytes) {
  const auto bytes_of = [&](int64_t samples) -> StatusOr<int64_t> {
    layout.micro_batch = samples;
    TITAN_ASSIGN_OR_RETURN(const MemoryPlan plan, plan_memory(model, layout));
    return plan.device_bytes();
  };
  TITAN_ASSIGN_OR_RETURN(const int64_t one, bytes_of(1));
  if (one > limit_bytes) return 0;
  TITAN_ASSIGN_OR_RETURN(const int64_t two, bytes_of(2));
  if (two > limit_bytes) return 1;
  // Memory grows by the sample: a straight line, but for which moment is the fullest.
  constexpr int64_t kMost = 65536;
  int64_t low = 2;
  int64_t high = std::clamp<int64_t>(1 + (limit_bytes - one) / std::max<int64_t>(two - one, 1) + 1,
                                     low + 1, kMost);
  while (high - low > 1) {
    const int64_t middle = high - low <= 4 ? high - 1 : high - (high - low) / 16 - 1;
    TITAN_ASSIGN_OR_RETURN(const int64_t bytes, bytes_of(middle));
    (bytes <= limit_bytes ? low : high) = middle;
  }
  return low;
}

std::string strategy_name(const JobConfig& config, const parallel::ParallelDims& dims) {
  if (dims.world_size() == 1) return config.training.enable_cpu_offload ? "offload" : "one rank";
  if (dims.dp_shard == 1) return "DDP";
  const std::string sharded = config.parallelism.shard_strategy == "zero1" ? "ZeRO-1" : "FSDP";
  if (dims.dp_replicate == 1) return sharded;
  return sharded == "FSDP" ? "HSDP" : "ZeRO-1 + replicas";
}

std::vector<Layout> strategies(const Layout& configured, int64_t world, int64_t ranks_per_node) {
  struct Strategy {
    const char* shard_strategy;
    int64_t replicate, shard;
  };
  std::vector<Strategy> wanted = {{"fsdp", world, 1}, {"zero1", 1, world}, {"fsdp", 1, world}};
  if (ranks_per_node > 1 && world > ranks_per_node && world % ranks_per_node == 0)
    wanted.push_back({"fsdp", world / ranks_per_node, ranks_per_node});
  std::vector<Layout> layouts = {configured};
  for (const Strategy& strategy : wanted) {
    Layout layout = configured;
    layout.config.parallelism.shard_strategy = strategy.shard_strategy;
    layout.config.parallelism.data_parallel_replicate_degree = strategy.replicate;
    layout.config.parallelism.data_parallel_shard_degree = strategy.shard;
    layout.dims = {.dp_replicate = strategy.replicate, .dp_shard = strategy.shard};
    layout.name = strategy_name(layout.config, layout.dims);
    const bool known = std::any_of(layouts.begin(), layouts.end(),
                                   [&](const Layout& one) { return one.name == layout.name; });
    if (!known) layouts.push_back(std::move(layout));
  }
  return layouts;
}

}  // namespace titan::plan
