// residual.h: closing a residual where no normalisation follows (else: residual_modulate_norm).
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// x + gate * branch for x, branch [B, N, D], gate [B, D] or [B, 1, D]; undefined gate = 1.
at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate);

}  // namespace titan::ops
