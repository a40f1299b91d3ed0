// float8_fused.h: operations whose result is rounded to 8 bits where it is made, for the layers
// that read it. Numbers, roundings and gradients are those of the operation followed by
// float8_input, bit by bit; on a GPU the result itself is never written. Where a device has no such
// kernel, and with kernels.backend=reference, the two run one after the other.
#pragma once

#include <ATen/core/Tensor.h>

#include "titan/ops/float8_input.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/stream_attention.h"

namespace titan::ops {

/// modulate_norm, rounded.
Float8Input float8_modulate_norm(const at::Tensor& x, const Norm& norm,
                                 const Modulation& modulation, const Float8Rounding& rounding);

/// What float8_residual_modulate_norm gives.
struct Float8ResidualNorm {
  at::Tensor h;   ///< the residual stream after the addition
  Float8Input y;  ///< its normalised, modulated form
};
/// residual_modulate_norm, whose y is rounded.
Float8ResidualNorm float8_residual_modulate_norm(const at::Tensor& x, const at::Tensor& branch,
                                                 const at::Tensor& gate, const Norm& norm,
                                                 const Modulation& modulation,
                                                 const Float8Rounding& rounding);

/// gelu, rounded.
Float8Input float8_gelu(const at::Tensor& x, const Float8Rounding& rounding);

/// swiglu, rounded.
Float8Input float8_swiglu(const at::Tensor& a, const at::Tensor& b, const Float8Rounding& rounding);

/// parallel_attention, rounded.
Float8Input float8_parallel_attention(const at::Tensor& y, const at::Tensor& q_scale,
                                      const at::Tensor& k_scale, const StreamAttention& options,
                                      const Float8Rounding& rounding);

}  // namespace titan::ops
