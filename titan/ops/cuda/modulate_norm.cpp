// CUDA implementation of titan::modulate_norm and its backward; part of libtitan_cuda.so. Schemas,
// checks and derivative: titan/ops/modulate_norm.cpp.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "titan/ops/modulate_norm_kernel.h"

namespace titan::ops {
namespace {

using detail::NormBackwardResult;
using detail::NormForwardResult;
using detail::OptionalTensor;

NormForwardResult forward_cuda(const at::Tensor& x, const OptionalTensor& branch,
                               const OptionalTensor& gate, const OptionalTensor& weight,
                               const OptionalTensor& bias, const OptionalTensor& scale,
                               const OptionalTensor& shift, double eps, bool rms) {
  const c10::cuda::CUDAGuard guard(x.device());
  detail::check_norm_width(x);
  const auto kernel = [](const auto& problem, const auto& parameters, const auto& io) {
    kernels::cuda::modulate_norm_forward(problem, parameters, io,
                                         c10::cuda::getCurrentCUDAStream().stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  };
  return detail::run_norm_forward(kernel, x.contiguous(), branch,
                                  {weight, bias, scale, shift, gate}, eps, rms);
}

NormBackwardResult backward_cuda(const at::Tensor& grad_y, const OptionalTensor& grad_h,
                                 const at::Tensor& h, const OptionalTensor& branch,
                                 const OptionalTensor& gate, const OptionalTensor& weight,
                                 const OptionalTensor& bias, const OptionalTensor& scale,
                                 const OptionalTensor& shift, const at::Tensor& mean,
                                 const at::Tensor& rstd, bool rms) {
  const c10::cuda::CUDAGuard guard(h.device());
  detail::check_norm_width(h);
  const auto kernel = [](const auto& problem, const auto& parameters, const auto& io) {
    kernels::cuda::modulate_norm_backward(problem, parameters, io,
                                          c10::cuda::getCurrentCUDAStream().stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  };
  return detail::run_norm_backward(kernel, grad_y, grad_h, h, branch, gate, weight, bias, scale,
                                   shift, mean, rstd, rms);
}

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("modulate_norm", TORCH_FN(forward_cuda));
  m.impl("modulate_norm_backward", TORCH_FN(backward_cuda));
}

}  // namespace
}  // namespace titan::ops
