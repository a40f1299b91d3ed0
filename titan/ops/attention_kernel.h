// attention_kernel.h: how the attention kernel of the CPU is fed; shared with the operations on
// shapes alone.
#pragma once

#include <cmath>

#include <ATen/core/Tensor.h>

#include "titan/kernels/attention.h"

namespace titan::ops::detail {

inline kernels::AttentionProblem attention_problem(const at::Tensor& q, const at::Tensor& k) {
  return {.batch = q.size(0),
          .queries = q.size(1),
          .keys = k.size(1),
          .heads = q.size(2),
          .kv_heads = k.size(2),
          .head_dim = q.size(3),
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(q.size(3))))};
}

/// x [B, N, H, D] as the kernel reads a gradient: the heads of a token side by side, tokens and
/// samples any distance apart, so columns of a wider tensor are taken where they lie.
inline at::Tensor token_rows(const at::Tensor& x) {
  return x.stride(3) == 1 && x.stride(2) == x.size(3) ? x : x.contiguous();
}

}  // namespace titan::ops::detail
