// device_attention.h: LibTorch's two fast attention kernels of a GPU, each by its name, so that
// nothing but us chooses between them.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// softmax(q k^T / sqrt(D_head)) v for q [B, H, N, D_head] and k, v [B, H_kv, M, D_head] on a GPU,
/// float16 or bfloat16, unit stride of the last dimension; result [B, H, N, D_head] with q's order
/// of strides: views of [B, N, H, D_head] go in and come out without a copy. Results can be kept in
/// a recomputed block. FlashAttention-2 (Dao 2023, arXiv:2307.08691): D_head a multiple of 8 up to
/// 256.
at::Tensor flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
/// cuDNN's: D_head a multiple of 8 up to 128, H_kv = H, M > 1. `training`: a backward follows, now
/// or in a recompute.
at::Tensor cudnn_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           bool training);

}  // namespace titan::ops
