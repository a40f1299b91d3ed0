// attention.h: full (not causal) softmax attention.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// softmax(q k^T / sqrt(D_head)) v for q [B, N, H, D_head] and k, v [B, M, H_kv, D_head]; result
/// [B, N, H, D_head]. Each key/value head serves H / H_kv consecutive query heads. No copies are
/// made for this layout. Throws titan::Error on shapes that do not fit.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

/// Lets training on the CPU keep the probabilities, float32 [B, H, N, M], for backward where they
/// take at most `share` times the memory of q, k, v and the result together; else, and where a
/// share of 0 forbids it (as at the start), backward makes the scores again: a seventh of the
/// products of both passes.
void set_kept_probabilities(double share);

}  // namespace titan::ops
