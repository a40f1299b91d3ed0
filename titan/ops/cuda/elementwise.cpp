// CUDA implementations of titan::gelu, swiglu, rope, gated_residual, mse and their backwards; part
// of libtitan_cuda.so. Schemas, checks and derivatives: the files of titan/ops named after them.
#include <tuple>

#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "titan/ops/cuda/on_stream.h"
#include "titan/ops/elementwise_kernel.h"

namespace titan::ops {
namespace {

using c10::cuda::CUDAGuard;

at::Tensor gelu(const at::Tensor& x) {
  const CUDAGuard guard(x.device());
  return detail::run_gelu_forward(OnStream<kernels::cuda::gelu_forward>{}, x);
}
at::Tensor gelu_backward(const at::Tensor& grad, const at::Tensor& x) {
  const CUDAGuard guard(x.device());
  return detail::run_gelu_backward(OnStream<kernels::cuda::gelu_backward>{}, grad, x);
}

at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b) {
  const CUDAGuard guard(a.device());
  return detail::run_swiglu_forward(OnStream<kernels::cuda::swiglu_forward>{}, a, b);
}
std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad, const at::Tensor& a,
                                                   const at::Tensor& b) {
  const CUDAGuard guard(a.device());
  return detail::run_swiglu_backward(OnStream<kernels::cuda::swiglu_backward>{}, grad, a, b);
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& table, bool inverse) {
  const CUDAGuard guard(x.device());
  constexpr int64_t kMost = int64_t{1} << 31;  // the kernel counts a token's numbers in 32 bits
  TITAN_CHECK(x.size(2) * x.size(3) <= kMost, "[rope] the CUDA kernel takes up to ", kMost,
              " numbers a token (x=", x.sizes(), "); use kernels.backend=reference");
  return detail::run_rope(OnStream<kernels::cuda::rope>{}, x, table, inverse);
}

at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate) {
  const CUDAGuard guard(x.device());
  return detail::run_residual_forward(OnStream<kernels::cuda::gated_residual_forward>{}, x, branch,
                                      gate);
}
std::tuple<at::Tensor, at::Tensor> gated_residual_backward(const at::Tensor& grad,
                                                           const at::Tensor& branch,
                                                           const at::Tensor& gate) {
  const CUDAGuard guard(grad.device());
  const auto kernel = [&](const kernels::ResidualProblem& problem, const void* up,
                          const void* other, const void* factor, void* grad_branch,
                          float* grad_gate) {
    const at::Tensor partial = at::empty({kernels::cuda::gated_residual_partial_size(problem)},
                                         grad.options().dtype(at::kFloat));
    OnStream<kernels::cuda::gated_residual_backward>{}(
        problem, up, other, factor, grad_branch, grad_gate, partial.mutable_data_ptr<float>());
  };
  return detail::run_residual_backward(kernel, grad, branch, gate);
}

at::Tensor mse(const at::Tensor& prediction, const at::Tensor& target) {
  const CUDAGuard guard(prediction.device());
  return detail::run_mse_forward(OnStream<kernels::cuda::mse_forward>{}, prediction, target);
}
at::Tensor mse_backward(const at::Tensor& grad, const at::Tensor& prediction,
                        const at::Tensor& target) {
  const CUDAGuard guard(prediction.device());
  return detail::run_mse_backward(OnStream<kernels::cuda::mse_backward>{}, grad, prediction,
                                  target);
}

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("gelu", TORCH_FN(gelu));
  m.impl("gelu_backward", TORCH_FN(gelu_backward));
  m.impl("swiglu", TORCH_FN(swiglu));
  m.impl("swiglu_backward", TORCH_FN(swiglu_backward));
  m.impl("rope", TORCH_FN(rope));
  m.impl("gated_residual", TORCH_FN(gated_residual));
  m.impl("gated_residual_backward", TORCH_FN(gated_residual_backward));
  m.impl("mse", TORCH_FN(mse));
  m.impl("mse_backward", TORCH_FN(mse_backward));
}

}  // namespace
}  // namespace titan::ops
