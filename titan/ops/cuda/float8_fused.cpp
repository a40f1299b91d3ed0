// CUDA implementations of titan::float8_normed, float8_gelu, float8_swiglu and float8_beside_gelu;
// part of libtitan_cuda.so. Schemas, checks and derivatives: titan/ops/float8_norm.cpp,
// float8_fused.cpp.
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "titan/ops/cuda/on_stream.h"
#include "titan/ops/float8_kernel.h"
#include "titan/ops/modulate_norm_kernel.h"

namespace titan::ops {
namespace {

using detail::Float8Call;
using detail::Float8Normed;
using detail::Float8Result;
using detail::OptionalTensor;
using kernels::Float8Origin;
using kernels::Float8Source;

Float8Result quantize(const Float8Call& call, const Float8Source& source) {
  OnStream<kernels::cuda::float8_quantize>{}(call.problem, source, call.outputs);
  return call.result;
}

/// Two kernels: the residual and the statistics, with the maxima of what is not written; then both
/// copies, from h.
Float8Normed normed_cuda(const at::Tensor& x_in, const OptionalTensor& branch,
                         const OptionalTensor& gate, const OptionalTensor& weight,
                         const OptionalTensor& bias, const OptionalTensor& scale,
                         const OptionalTensor& shift, double eps, bool rms, bool rowwise,
                         bool by_column) {
  const c10::cuda::CUDAGuard guard(x_in.device());
  detail::check_norm_width(x_in);
  const at::Tensor x = x_in.contiguous();
  const detail::HeldParameters parameters(weight, bias, scale, shift, gate);
  const Float8Call call(x, detail::float8_shape(x), {.rowwise = rowwise, .by_column = by_column});
  auto [h, y, mean, rstd] = detail::run_norm_forward(
      OnStream<kernels::cuda::modulate_norm_forward>{}, x, branch, parameters, eps, rms,
      {.y = false, .amax = call.outputs.workspace, .amax_of_all = !rowwise});
  Float8Source source;
  source.origin = Float8Origin::kNormed;
  source.x = (h.defined() ? h : x).const_data_ptr();
  source.x_stride = x.size(2);
  source.norm = parameters.raw;
  source.param_storage = parameters.storage;
  source.tokens = x.size(1);
  source.mean = rms ? nullptr : mean.const_data_ptr<float>();
  source.rstd = rstd.const_data_ptr<float>();
  source.has_amax = true;
  return std::tuple_cat(std::make_tuple(h, mean, rstd), quantize(call, source));
}

Float8Result gelu_cuda(const at::Tensor& x_in, bool rowwise, bool by_column) {
  const c10::cuda::CUDAGuard guard(x_in.device());
  const at::Tensor x = x_in.contiguous();
  const Float8Call call(x, detail::float8_shape(x), {.rowwise = rowwise, .by_column = by_column});
  Float8Source source;
  source.origin = Float8Origin::kGelu;
  source.x = x.const_data_ptr();
  source.x_stride = x.size(-1);
  return quantize(call, source);
}

Float8Result swiglu_cuda(const at::Tensor& a_in, const at::Tensor& b_in, bool rowwise,
                         bool by_column) {
  const c10::cuda::CUDAGuard guard(a_in.device());
  const at::Tensor a = a_in.contiguous(), b = b_in.contiguous();
  const Float8Call call(a, detail::float8_shape(a), {.rowwise = rowwise, .by_column = by_column});
  Float8Source source;
  source.origin = Float8Origin::kSwiGlu;
  source.x = a.const_data_ptr();
  source.x_stride = a.size(-1);
  source.other = b.const_data_ptr();
  source.other_stride = b.size(-1);
  return quantize(call, source);
}

Float8Result beside_gelu_cuda(const at::Tensor& y_in, const at::Tensor& attended_in, bool rowwise,
                              bool by_column) {
  const c10::cuda::CUDAGuard guard(y_in.device());
  const at::Tensor y = y_in.contiguous(), attended = attended_in.to(y.scalar_type()).contiguous();
  const int64_t width = attended.size(2);
  const Float8Call call(y, {.rows = y.size(0) * y.size(1), .columns = y.size(2) - 2 * width},
                        {.rowwise = rowwise, .by_column = by_column});
  Float8Source source;
  source.origin = Float8Origin::kBesideGelu;
  source.x = static_cast<const char*>(y.const_data_ptr()) + 3 * width * y.element_size();
  source.x_stride = y.size(2);
  source.other = attended.const_data_ptr();
  source.other_stride = width;
  source.other_columns = width;
  return quantize(call, source);
}

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("float8_normed", TORCH_FN(normed_cuda));
  m.impl("float8_gelu", TORCH_FN(gelu_cuda));
  m.impl("float8_swiglu", TORCH_FN(swiglu_cuda));
  m.impl("float8_beside_gelu", TORCH_FN(beside_gelu_cuda));
}

}  // namespace
}  // namespace titan::ops
