// attention.h: full (not causal) softmax attention.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// softmax(q k^T / sqrt(D_head)) v for q [B, N, H, D_head] and k, v [B, M, H_kv, D_head]; result
/// [B, N, H, D_head]. Each key/value head serves H / H_kv consecutive query heads. No copies are
/// made for this layout. Throws titan::Error on shapes that do not fit.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace titan::ops
