#include "titan/plan/time_model.h"

#include <algorithm>
#include <cmath>

namespace titan::plan {
namespace {

/// Share of a buffer that a ring moves past each rank.
double ring_share(int64_t ranks) {
  return static_cast<double>(ranks - 1) / static_cast<double>(ranks);
}

/// Devices without 8-bit products are given those at the other rate: the job would not start there.
double compute_time(const StepWork& work, const Hardware& hardware,
                    const Assumptions& assumptions) {
  const double float8 = hardware.fp8_flops > 0 ? std::min(work.float8_flops, work.flops) : 0;
  const double others = (work.flops - float8) / (assumptions.compute * hardware.bf16_flops);
  return float8 > 0 ? others + float8 / (assumptions.float8 * hardware.fp8_flops) : others;
}

}  // namespace

double ring_bandwidth(const Hardware& hardware, const Assumptions& assumptions, int64_t ranks,
                      int64_t stride, int64_t ranks_per_node) {
  const int64_t domain = std::max(hardware.domain, ranks_per_node);
  double bytes = hardware.link_bandwidth;
  if (ranks * stride > domain) {
    // Neighbours share their adapters' bandwidth: only one edge of the ring leaves a node.
    const int64_t together = std::max<int64_t>(1, std::min(ranks, ranks_per_node / stride));
    bytes = std::min(bytes, hardware.network_bandwidth * static_cast<double>(together));
  }
  return assumptions.transfer * bytes;
}

StepTime step_time(const StepWork& work, const Hardware& hardware, const Assumptions& assumptions) {
  StepTime time;
  time.compute = compute_time(work, hardware, assumptions);
  time.optimizer = work.optimizer_bytes / (assumptions.memory * hardware.memory_bandwidth);
  double unhidden = 0;
  if (work.shard_ranks > 1) {
    const double bandwidth =
        ring_bandwidth(hardware, assumptions, work.shard_ranks, 1, work.ranks_per_node);
    const double share = ring_share(work.shard_ranks) / bandwidth;
    time.communication += (work.gathered_bytes + work.reduced_bytes) * share;
    unhidden += (work.first_gather + work.last_reduce) * share;
  }
  if (work.replicas > 1) {
    const double bandwidth =
        ring_bandwidth(hardware, assumptions, work.replicas, work.shard_ranks, work.ranks_per_node);
    const double share = 2 * ring_share(work.replicas) / bandwidth;
    time.communication += work.replica_bytes * share;
    // Slices of the last unit are reduced when nothing is left to compute.
    unhidden += work.last_reduce / static_cast<double>(work.shard_ranks) * share;
  }
  time.communication += static_cast<double>(work.collectives) * assumptions.latency_s;
  const double hidden_at_most = time.compute;
  time.exposed = std::min(time.communication,
                          unhidden + std::max(0.0, time.communication - unhidden - hidden_at_most));
  return time;
}

}  // namespace titan::plan
