// CUDA implementations of titan::float8_quantize and titan::float8_product; part of
// libtitan_cuda.so. Schemas and checks: titan/ops/float8_product.cpp.
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "titan/ops/cuda/on_stream.h"
#include "titan/ops/float8_kernel.h"

namespace titan::ops {
namespace {

using detail::Float8Result;
using detail::OptionalTensor;

Float8Result quantize_cuda(const at::Tensor& x_in, bool e5m2, bool rowwise, bool by_row,
                           bool by_column) {
  const c10::cuda::CUDAGuard guard(x_in.device());
  const at::Tensor x = x_in.contiguous();
  const detail::Float8Call call(
      x, detail::float8_shape(x),
      {.e5m2 = e5m2, .rowwise = rowwise, .by_row = by_row, .by_column = by_column});
  kernels::Float8Source source;
  source.x = x.const_data_ptr();
  source.x_stride = x.size(1);
  OnStream<kernels::cuda::float8_quantize>{}(call.problem, source, call.outputs);
  return call.result;
}

void check_capability() {
  const cudaDeviceProp* device = at::cuda::getCurrentDeviceProperties();
  TITAN_CHECK(device->major * 10 + device->minor >= 89,
              "[float8] products in 8-bit floating point need compute capability 8.9 (",
              device->name, " has ", device->major, ".", device->minor,
              "); float8.emulate=true rounds to 8 bits and multiplies in float32");
}

at::Tensor emulated(const at::Tensor& a, const at::Tensor& a_inverse, const at::Tensor& b,
                    const at::Tensor& b_inverse, const OptionalTensor& bias,
                    at::ScalarType out_dtype) {
  const at::Tensor sums = at::mm(a.to(at::kFloat), b.to(at::kFloat).t());
  return detail::finish_float8_product(sums, a_inverse, b_inverse, bias, out_dtype);
}

// _scaled_mm takes a row by row and b^T column by column, which is b row by row: as both are held.
// Sizes that no 16 divides are held with zeros behind them, which add nothing to a sum.
at::Tensor product_cuda(const at::Tensor& a, const at::Tensor& a_inverse, const at::Tensor& b,
                        const at::Tensor& b_inverse, const OptionalTensor& bias,
                        at::ScalarType out_dtype, bool emulate, bool fast_sums) {
  const c10::cuda::CUDAGuard guard(a.device());
  if (emulate) return emulated(a, a_inverse, b, b_inverse, bias, out_dtype);
  check_capability();
  const at::Tensor left = detail::as_held(a), right = detail::as_held(b);
  TITAN_CHECK(left.size(1) == right.size(1) && left.size(1) % detail::kFloat8Step == 0 &&
                  right.size(0) % detail::kFloat8Step == 0,
              "[float8] 16 must divide the sizes of a product (a=", left.sizes(),
              ", b=", right.sizes(), ")");
  const bool rowwise = a_inverse.numel() > 1 || b_inverse.numel() > 1;
  // With a scale for each row LibTorch gives bfloat16 only; a bias goes with bfloat16 only.
  const at::ScalarType made = rowwise ? at::kBFloat16 : out_dtype;
  const bool fuse_bias = bias && made == at::kBFloat16 && bias->scalar_type() == at::kBFloat16;
  const at::Tensor a_scale = rowwise ? a_inverse.unsqueeze(1) : a_inverse;
  const at::Tensor b_scale = rowwise ? b_inverse.unsqueeze(0) : b_inverse;
  at::Tensor y = at::_scaled_mm(left, right.t(), a_scale, b_scale,
                                fuse_bias ? bias : OptionalTensor(), {}, made, fast_sums);
  if (bias && !fuse_bias) y = y + *bias;
  return y.to(out_dtype);
}

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("float8_quantize", TORCH_FN(quantize_cuda));
  m.impl("float8_product", TORCH_FN(product_cuda));
}

}  // namespace
}  // namespace titan::ops
