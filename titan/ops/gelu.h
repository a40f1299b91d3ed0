// gelu.h: the activation of a GELU feed-forward layer.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// GELU in its tanh form, x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel
/// 2016, arXiv:1606.08415), in float32, rounded once to x's dtype.
at::Tensor gelu(const at::Tensor& x);

}  // namespace titan::ops
