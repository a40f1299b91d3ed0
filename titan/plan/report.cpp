#include "titan/plan/report.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "titan/base/human.h"
#include "titan/protocols/recompute_plan.h"

namespace titan::plan {
namespace {

std::string gib(int64_t bytes) {
  if (bytes == 0) return "-";
  char text[32];
  const double value = static_cast<double>(bytes) / (1 << 30);
  std::snprintf(text, sizeof text, value < 0.1 ? "%.4f" : value < 10 ? "%.2f" : "%.1f", value);
  return text;
}

std::string milliseconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 0.1 ? "%.2f" : "%.0f", 1000 * seconds);
  return text;
}

/// Share of a forward that backward does again.
StatusOr<double> recomputed_share(const JobConfig& config, std::size_t blocks) {
  TITAN_ASSIGN_OR_RETURN(const RecomputePlan plan,
                         recompute_plan(config.activation_checkpoint, blocks));
  double share = 0;
  for (const BlockRecompute& block : plan) {
    if (!block.recompute) continue;
    const int64_t every = block.keep.matmul_every;
    share += every > 0 ? 1.0 - 1.0 / static_cast<double>(every) : 1.0;
  }
  return blocks == 0 ? 0.0 : share / static_cast<double>(blocks);
}

StatusOr<StepWork> step_work(const ShapeModel& model, const Layout& layout, const MemoryPlan& plan,
                             const ModelFlops& flops, int64_t ranks_per_node) {
  TITAN_ASSIGN_OR_RETURN(const EngineShape shape, engine_shape(layout));
  const std::vector<parallel::UnitLayout> units = model.layouts(shape.shard_ranks);
  TITAN_ASSIGN_OR_RETURN(const double again, recomputed_share(layout.config, units.size() - 2));
  const auto samples = static_cast<double>(layout.micro_batch * layout.accumulation);
  double slice = 0;
  for (const parallel::UnitLayout& unit : units) slice += static_cast<double>(unit.shard_length);
  // The walk stops at three micro-batches: those in the middle are alike.
  const auto repeated = static_cast<double>(std::max<int64_t>(1, layout.accumulation)) /
                        static_cast<double>(std::min<int64_t>(layout.accumulation, 3));
  const double first = static_cast<double>(units.front().length);
  StepWork work;
  work.flops =
      samples * (static_cast<double>(flops.train) + again * static_cast<double>(flops.forward));
  if (plan.step.micro_batches > 0)
    work.float8_flops = static_cast<double>(plan.step.float8_flops) *
                        static_cast<double>(layout.accumulation) /
                        static_cast<double>(plan.step.micro_batches);
  // Weights, gradients and two moments read, weights and moments written; the copy in the compute
  // dtype, where weights are not kept in it; the average.
  const bool in_pass = shape.resident && !shape.offload;
  const int64_t copy = shape.compute_size == shape.weight_size
                           ? 0
                           : shape.compute_size + (in_pass ? 0 : shape.weight_size);
  work.optimizer_bytes =
      slice *
      static_cast<double>(2 * (shape.weight_size + shape.remainder_size) + shape.gradient_size +
                          4 * shape.moment_size + copy + (layout.config.ema.enable ? 8 : 0));
  work.gathered_bytes = static_cast<double>(plan.step.gathered) * (shape.resident ? 1 : repeated);
  if (shape.sharded()) {
    for (const parallel::UnitLayout& unit : units)
      work.reduced_bytes += static_cast<double>(unit.length * shape.reduce_size);
    if (shape.each_micro_batch) work.reduced_bytes *= static_cast<double>(layout.accumulation);
    work.first_gather = first * static_cast<double>(shape.compute_size);
  }
  work.replica_bytes = slice * static_cast<double>(shape.reduce_size);
  work.last_reduce = first * static_cast<double>(shape.reduce_size);
  work.collectives = shape.sharded() || shape.replicas > 1
                         ? static_cast<int64_t>(units.size()) * (shape.sharded() ? 3 : 1)
                         : 0;
  work.shard_ranks = shape.shard_ranks;
  work.replicas = shape.replicas;
  work.ranks_per_node = ranks_per_node;
  return work;
}

}  // namespace

StatusOr<PlanRow> plan_row(const ShapeModel& model, const Layout& layout, const ModelFlops& flops,
                           const Hardware& hardware, int64_t ranks_per_node, int64_t limit_bytes) {
  PlanRow row{.strategy = layout.name,
              .recompute = layout.config.activation_checkpoint.mode,
              .memory = {},
              .time = {},
              .micro_batch = layout.micro_batch,
              .largest_micro_batch = -1};
  TITAN_ASSIGN_OR_RETURN(row.memory, plan_memory(model, layout));
  TITAN_ASSIGN_OR_RETURN(const StepWork work,
                         step_work(model, layout, row.memory, flops, ranks_per_node));
  row.time = step_time(work, hardware, {});
  if (limit_bytes > 0) {
    row.fits = row.memory.device_bytes() <= limit_bytes;
    TITAN_ASSIGN_OR_RETURN(row.largest_micro_batch,
                           largest_micro_batch(model, layout, limit_bytes));
  }
  return row;
}

std::string to_table(const std::vector<PlanRow>& rows) {
  std::vector<std::vector<std::string>> cells = {
      {"layout", "recompute", "params", "grads", "optim", "EMA", "encoders", "gather", "messages",
       "activ.", "loader", "comm", "peak GiB", "host GiB", "step ms", "exposed ms", "fits",
       "largest batch"}};
  for (const PlanRow& row : rows) {
    const MemoryPlan& m = row.memory;
    cells.push_back({row.strategy, row.recompute, gib(m.fixed.parameters + m.fixed.master),
                     gib(m.fixed.gradients + m.fixed.whole_gradients), gib(m.fixed.moments),
                     gib(m.fixed.averages), gib(m.encoders), gib(m.step.gather_slots),
                     gib(m.step.message_slots), gib(m.step.activations), gib(m.loader),
                     gib(m.communicators), gib(m.device_bytes()),
                     gib(m.is_host ? 0 : m.host_bytes()), milliseconds(row.time.total()),
                     milliseconds(row.time.exposed), row.fits ? "yes" : "no",
                     row.largest_micro_batch < 0 ? "-" : str_cat(row.largest_micro_batch)});
  }
  std::vector<std::size_t> widths(cells.front().size());
  for (const auto& line : cells)
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  std::string text;
  for (const auto& line : cells) {
    std::string one;
    for (std::size_t c = 0; c < line.size(); ++c) {
      const std::string padding(widths[c] - line[c].size(), ' ');
      one += c < 2 ? line[c] + padding : padding + line[c];  // names to the left, numbers right
      one += "  ";
    }
    while (!one.empty() && one.back() == ' ') one.pop_back();
    text += one + "\n";
  }
  return text;
}

}  // namespace titan::plan
