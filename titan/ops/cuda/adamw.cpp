// CUDA implementation of titan::adamw_ and titan::sum_squares; part of libtitan_cuda.so. Schema and
// checks: titan/ops/adamw.cpp.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "titan/kernels/sum_squares.h"
#include "titan/ops/adamw_kernel.h"

namespace titan::ops {
namespace {

using detail::OptionalTensor;

void adamw_on_cuda(const at::Tensor& weight, const OptionalTensor& remainder,
                   const at::Tensor& grad, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                   const OptionalTensor& average, const OptionalTensor& copy,
                   const at::Tensor& step, const at::Tensor& lr, const OptionalTensor& clip,
                   const OptionalTensor& skip, const OptionalTensor& average_weight, double beta1,
                   double beta2, double eps, double weight_decay, int64_t seed, int64_t stream,
                   int64_t first_element) {
  const c10::cuda::CUDAGuard guard(weight.device());
  kernels::adamw_cuda(detail::adamw_run(weight, remainder, grad, exp_avg, exp_avg_sq, average, copy,
                                        step, lr, clip, skip, average_weight, beta1, beta2, eps,
                                        weight_decay, seed, stream, first_element),
                      c10::cuda::getCurrentCUDAStream().stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

at::Tensor sum_squares_on_cuda(at::TensorList tensors) {
  const c10::cuda::CUDAGuard guard(tensors.front().device());
  const auto options = tensors.front().options().dtype(at::kDouble);
  const auto count = static_cast<int64_t>(tensors.size()) * kernels::kSumSquaresPartials;
  const at::Tensor partials = at::empty({count}, options);
  at::Tensor total = at::empty({}, options);
  auto* const data = partials.mutable_data_ptr<double>();
  CUstream_st* const stream = c10::cuda::getCurrentCUDAStream().stream();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    kernels::sum_squares_cuda(
        detail::storage_of(tensors[i]), tensors[i].const_data_ptr(), tensors[i].numel(),
        data + static_cast<int64_t>(i) * kernels::kSumSquaresPartials, stream);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
  kernels::sum_partials_cuda(data, count, total.mutable_data_ptr<double>(), stream);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return total;
}

}  // namespace

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("adamw_", &adamw_on_cuda);
  m.impl("sum_squares", &sum_squares_on_cuda);
}

}  // namespace titan::ops
