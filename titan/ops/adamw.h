// adamw.h: AdamW over a run of flat buffers, in one pass (kernels/adamw.h), and the sum of squares
// that its clipping needs.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// The buffers of a run: 1-D, contiguous, of one length, on one device.
struct AdamWBuffers {
  at::Tensor weight;     ///< float32 or bfloat16
  at::Tensor remainder;  ///< int16, low halves of bfloat16 weights; undefined = stochastic rounding
  at::Tensor grad;       ///< float32 or bfloat16
  at::Tensor exp_avg;    ///< float32 or bfloat16
  at::Tensor exp_avg_sq;  ///< of the same dtype
  at::Tensor average;     ///< float32, running average of the weights; undefined = none
  at::Tensor copy;        ///< bfloat16 copy of float32 weights; undefined = none
};

/// What changes from step to step: [] float32 on the buffers' device, read when the kernel runs.
struct AdamWStep {
  at::Tensor step;  ///< 1, 2, ...
  at::Tensor lr;
  at::Tensor clip;            ///< gradients are multiplied with it; undefined = 1
  at::Tensor skip;            ///< 1: nothing but the average changes; undefined = 0
  at::Tensor average_weight;  ///< share of the new weights in the average; with `average`
};

struct AdamWConstants {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0;
  std::uint64_t seed = 0;          ///< of random roundings
  std::uint64_t stream = 0;        ///< tells buffers apart
  std::int64_t first_element = 0;  ///< of the run in its buffer, the same on any layout
};

/// Updates weight, remainder, exp_avg, exp_avg_sq, average and copy in place. Deterministic, also
/// in what is rounded at random. Throws titan::Error where buffers do not fit each other. Not
/// differentiable.
void adamw_(const AdamWBuffers& buffers, const AdamWStep& step, const AdamWConstants& constants);

/// Sum of the squares of all elements of 1-D contiguous float32 or bfloat16 tensors on one device:
/// [] float64, added up in an order that depends on their lengths alone. No host sync.
at::Tensor sum_squares(const std::vector<at::Tensor>& tensors);

}  // namespace titan::ops
