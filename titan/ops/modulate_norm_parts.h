// modulate_norm_parts.h: what modulate_norm.cpp shares with the form whose result is rounded to 8
// bits (float8_norm.cpp).
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/ops/dispatch.h"
#include "titan/ops/modulate_norm.h"

namespace titan::ops::detail {

/// Throws titan::Error unless x is [B, N, D] and the norm's parameters are [D].
void check_norm(const at::Tensor& x, const Norm& norm);
/// Throws titan::Error unless branch has x's shape.
void check_branch(const at::Tensor& x, const at::Tensor& branch);
/// [B, D] from [B, D] or [B, 1, D]; undefined stays undefined.
at::Tensor sample_rows(const at::Tensor& rows, const at::Tensor& x, const char* name);

/// What backward needs: h (x where there is no branch), branch, gate, weight, bias, scale, shift,
/// mean, rstd; undefined where absent.
using NormSaved = std::vector<at::Tensor>;
/// Gradients of x, branch, gate, weight, bias, scale and shift. Either gradient may be undefined.
std::vector<at::Tensor> modulate_norm_gradients(at::Tensor grad_y, const at::Tensor& grad_h,
                                                const NormSaved& saved, bool rms);

}  // namespace titan::ops::detail
