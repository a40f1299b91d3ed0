// attention_timing.h: what attention kernels cost on given tensors.
#pragma once

#include <string>
#include <vector>

#include "titan/ops/attention_backend.h"

namespace titan::ops {

struct TimedKernel {
  AttentionKernel kernel;
  double seconds;       ///< best of a few runs; NaN where it cannot run
  std::string refusal;  ///< what it said, empty where it ran
};

/// Runs every kernel on copies that share the tensors' memory, in turns, forward and (`training`)
/// backward. No graph, no observer and no recomputed block of the caller sees it. On the CPU one
/// sample and as many heads as threads stand for the rest. Waits for the device.
std::vector<TimedKernel> time_kernels(const std::vector<AttentionKernel>& kernels,
                                      const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      bool training, const RunAttention& run);

}  // namespace titan::ops
