// CUDA implementation of titan::philox_*; part of libtitan_cuda.so. Schema and checks:
// titan/ops/philox.cpp.
#include "titan/base/philox.h"

#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "titan/kernels/philox.h"

namespace titan::ops {
namespace {

at::Tensor philox_cuda(kernels::RandomField field, const at::Tensor& sample,
                       const at::Tensor& epoch, at::IntArrayRef tail_shape, int64_t seed,
                       int64_t purpose) {
  const c10::cuda::CUDAGuard guard(sample.device());
  const int64_t num_samples = sample.numel();
  std::vector<int64_t> shape{num_samples};
  shape.insert(shape.end(), tail_shape.begin(), tail_shape.end());
  at::Tensor out = at::empty(shape, sample.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  kernels::philox_fill_cuda(
      field, philox_key(static_cast<std::uint64_t>(seed), static_cast<std::uint32_t>(purpose)),
      sample.const_data_ptr<int64_t>(), epoch.const_data_ptr<int64_t>(), num_samples,
      out.numel() / num_samples, out.mutable_data_ptr<float>(),
      c10::cuda::getCurrentCUDAStream().stream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

at::Tensor philox_normal_cuda(const at::Tensor& sample, const at::Tensor& epoch,
                              at::IntArrayRef tail_shape, int64_t seed, int64_t purpose) {
  return philox_cuda(kernels::RandomField::kNormal, sample, epoch, tail_shape, seed, purpose);
}
at::Tensor philox_uniform_cuda(const at::Tensor& sample, const at::Tensor& epoch,
                               at::IntArrayRef tail_shape, int64_t seed, int64_t purpose) {
  return philox_cuda(kernels::RandomField::kUniform, sample, epoch, tail_shape, seed, purpose);
}

}  // namespace

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("philox_normal", &philox_normal_cuda);
  m.impl("philox_uniform", &philox_uniform_cuda);
}

}  // namespace titan::ops
