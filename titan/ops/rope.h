// rope.h: rotary position embedding.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// Turns each pair (x[2i], x[2i+1]) of x [B, N, H, D_head] by the angle whose cosine and sine are
/// table[n, i]; table [N, D_head / 2, 2] float32, no gradient (Su et al. 2021, arXiv:2104.09864).
/// The rotation is float32, the result has x's dtype.
at::Tensor rope(const at::Tensor& x, const at::Tensor& table);

}  // namespace titan::ops
