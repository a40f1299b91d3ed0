// swiglu.h: the gate of a SwiGLU feed-forward layer.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// silu(a) * b for tensors of one shape and dtype (Shazeer 2020, arXiv:2002.05202). Throws
/// titan::Error where they differ.
at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b);

}  // namespace titan::ops
