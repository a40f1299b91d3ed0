// reference.h: every op in plain ATen, differentiable by ATen's own autograd. Slow, short, and what
// the kernels are tested against. Arithmetic is at least float32; results have the dtype of the
// first argument.
#pragma once

#include <ATen/core/Tensor.h>

#include "titan/ops/modulate_norm.h"

namespace titan::ops::reference {

at::Tensor modulate_norm(const at::Tensor& x, const Norm& norm, const Modulation& modulation);
ResidualNorm residual_modulate_norm(const at::Tensor& x, const at::Tensor& branch,
                                    const at::Tensor& gate, const Norm& norm,
                                    const Modulation& modulation);
at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate);
/// [B], mean over the other dimensions.
at::Tensor mse(const at::Tensor& prediction, const at::Tensor& target);
at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b);
at::Tensor gelu(const at::Tensor& x);
at::Tensor rope(const at::Tensor& x, const at::Tensor& table);
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace titan::ops::reference
