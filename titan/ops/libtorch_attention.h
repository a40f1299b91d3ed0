// libtorch_attention.h: attention by the kernel that LibTorch picks, for what no other serves.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// softmax(q k^T / sqrt(D_head)) v for q [B, H, N, D_head] and k, v [B, H_kv, M, D_head] of any
/// strides; result [B, H, N, D_head]. In a recomputed block the result of flash attention on the
/// CPU can be kept; the other kernels are run again.
at::Tensor libtorch_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace titan::ops
