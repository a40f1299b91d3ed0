// time_model.h: how long a step takes, from data sheets and counts. A model, not a measurement:
// what it assumes is in the struct below and in docs/planner.md. No torch.
#pragma once

#include <cstdint>

#include "titan/plan/hardware.h"

namespace titan::plan {

/// Shares of the data sheets' rates that work reaches, and times that sheets do not have.
struct Assumptions {
  double compute = 0.60;  ///< of the bf16 peak: matrix products with all that lies between them
  /// Of the 8-bit peak: as above, by what products alone reach on an H200, 760 TFLOP/s of 989 in
  /// bf16 and 1,300 of 1,979 in 8 bits.
  double float8 = 0.51;
  double memory = 0.85;      ///< of memory bandwidth: the optimizer's single pass
  double transfer = 0.80;    ///< of link or network bandwidth: large collectives
  double latency_s = 20e-6;  ///< of one collective, a step of its ring excluded
};

/// What one rank does in a step.
struct StepWork {
  double flops = 0;            ///< forward, backward and recompute of all its samples
  double float8_flops = 0;     ///< those among them whose products are in 8 bits
  double optimizer_bytes = 0;  ///< read and written by the update
  double gathered_bytes = 0;   ///< whole buffers, summed over gathers
  double reduced_bytes = 0;    ///< over the shard group
  double replica_bytes = 0;    ///< all-reduced over replicas
  double first_gather = 0;     ///< bytes that nothing can hide: the first unit's gather,
  double last_reduce = 0;      ///< and the last unit's reduction
  int64_t collectives = 0;
  int64_t shard_ranks = 1;
  int64_t replicas = 1;
  int64_t ranks_per_node = 8;
};

/// Seconds.
struct StepTime {
  double compute = 0;
  double optimizer = 0;
  double communication = 0;
  double exposed = 0;  ///< the part of communication in which nothing is computed

  double total() const { return compute + optimizer + exposed; }
};

/// Bytes a second at which a ring over `ranks` ranks, `stride` apart in rank order, moves a
/// device's data: inside a node the link, across nodes all adapters of a node together where every
/// device of it takes part in the ring, else its own.
double ring_bandwidth(const Hardware& hardware, const Assumptions& assumptions, int64_t ranks,
                      int64_t stride, int64_t ranks_per_node);

StepTime step_time(const StepWork& work, const Hardware& hardware, const Assumptions& assumptions);

}  // namespace titan::plan
