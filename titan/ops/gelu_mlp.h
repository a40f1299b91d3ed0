// gelu_mlp.h: two linear maps with GELU between them. Where a device has products whose epilogue
// makes GELU (cublasLt), the activation and its derivative cost no pass over memory of their own.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// gelu(x W1^T + b1) W2^T + b2 for x [..., in], W1 [hidden, in], b1 [hidden], W2 [out, hidden], b2
/// [out]; GELU by tanh (gelu.h). On a GPU, in bfloat16 and outside recomputed blocks, the first
/// call of a shape compares and times both ways, the other calls take the faster; else, and with
/// kernels.backend=reference or training.deterministic, linear and gelu one after the other.
at::Tensor gelu_mlp(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                    const at::Tensor& weight2, const at::Tensor& bias2);

namespace detail {
/// By the epilogues' schemas (titan::linear_gelu, titan::linear_gelu_grad), on any device that has
/// them; the CPU's are plain operations.
at::Tensor gelu_mlp_in_epilogues(const at::Tensor& x, const at::Tensor& weight1,
                                 const at::Tensor& bias1, const at::Tensor& weight2,
                                 const at::Tensor& bias2);
/// One after the other.
at::Tensor gelu_mlp_apart(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                          const at::Tensor& weight2, const at::Tensor& bias2);
}  // namespace detail

}  // namespace titan::ops
