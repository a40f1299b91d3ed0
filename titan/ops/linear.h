// linear.h: the linear layer.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// x weight^T + bias: x [..., in], weight [out, in], bias [out] or undefined; gives [..., out]. In
/// float32 on a CPU with AVX2 our own product (kernels/gemm.h) makes it and its gradients, the
/// bias's in the pass that packs the weight's; otherwise, and for shapes too small for it,
/// at::linear. A recomputed block may keep the result (ops/kept.h). Throws titan::Error where the
/// shapes do not fit.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace titan::ops
