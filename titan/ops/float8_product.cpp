#include "titan/ops/float8_product.h"

#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/float8_kernel.h"

namespace titan::ops {
namespace {

using detail::Float8Result;
using detail::OptionalTensor;

constexpr const char* kQuantize = "titan::float8_quantize";
constexpr const char* kProduct = "titan::float8_product";

Float8Result quantize_cpu(const at::Tensor& x, bool e5m2, bool rowwise, bool by_row,
                          bool by_column) {
  return detail::float8_quantize_cpu(
      x, {.e5m2 = e5m2, .rowwise = rowwise, .by_row = by_row, .by_column = by_column});
}

at::Tensor exact(const at::Tensor& copy) {
  const at::Tensor held = detail::as_held(copy);
  const at::Tensor values = at::empty(held.sizes(), held.options().dtype(at::kFloat));
  const bool e5m2 = copy.scalar_type() == at::kFloat8_e5m2;
  kernels::cpu::float8_decode(e5m2 ? kernels::Float8Format::kE5m2 : kernels::Float8Format::kE4m3,
                              held.numel(), static_cast<const std::uint8_t*>(held.const_data_ptr()),
                              values.mutable_data_ptr<float>());
  return values.narrow(1, 0, copy.size(1));
}

at::Tensor product_cpu(const at::Tensor& a, const at::Tensor& a_inverse, const at::Tensor& b,
                       const at::Tensor& b_inverse, const OptionalTensor& bias,
                       at::ScalarType out_dtype, bool emulate, bool /*fast_sums*/) {
  TITAN_CHECK(
      emulate,
      "[float8] the CPU has no products in 8-bit floating point; float8.emulate=true rounds "
      "to 8 bits and multiplies in float32");
  return detail::finish_float8_product(at::mm(exact(a), exact(b).t()), a_inverse, b_inverse, bias,
                                       out_dtype);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "float8_quantize(Tensor x, bool e5m2, bool rowwise, bool by_row, bool by_column) -> "
      "(Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "float8_product(Tensor a, Tensor a_inverse, Tensor b, Tensor b_inverse, Tensor? bias, "
      "ScalarType out_dtype, bool emulate, bool fast_sums) -> Tensor");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("float8_quantize", TORCH_FN(quantize_cpu));
  m.impl("float8_product", TORCH_FN(product_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("float8_quantize", torch::autograd::autogradNotImplementedFallback());
  m.impl("float8_product", torch::autograd::autogradNotImplementedFallback());
}

bool is_float8(at::ScalarType dtype) {
  return dtype == at::kFloat8_e4m3fn || dtype == at::kFloat8_e5m2;
}

/// One copy of x (transposed by the caller where it is the copy by column), and its inverse scales.
std::pair<at::Tensor, at::Tensor> reference_copy(const at::Tensor& x, at::ScalarType dtype,
                                                 bool rowwise) {
  const double most = dtype == at::kFloat8_e4m3fn ? kernels::kE4m3Max : kernels::kE5m2Max;
  const at::Tensor value = x.to(at::kFloat), size = value.abs();
  const at::Tensor amax = rowwise ? size.amax({1}, /*keepdim=*/true) : size.amax();
  at::Tensor scale = at::full_like(amax, most) / amax.clamp_min(1e-12);
  if (rowwise) {  // the exponent alone
    const at::Tensor power = scale.view(at::kInt).bitwise_and(-(1 << 23)).view(at::kFloat);
    scale = at::where(scale.isnan(), scale, power);
  }
  const at::Tensor q = (value * scale).clamp(-most, most).to(dtype);
  return {q, scale.reciprocal().reshape({-1})};
}

}  // namespace

Float8Copies float8_quantize(const at::Tensor& x, at::ScalarType dtype, bool rowwise,
                             Float8Wanted wanted) {
  TITAN_CHECK(x.dim() == 2 && x.numel() > 0, "[float8] a matrix is rounded (x=", x.sizes(), ")");
  TITAN_CHECK(is_float8(dtype), "[float8] the formats are float8_e4m3fn and float8_e5m2 (dtype=",
              c10::toString(dtype), ")");
  if (!use_fused(x, kQuantize)) return reference::float8_quantize(x, dtype, rowwise, wanted);
  static const auto op = detail::find_op<decltype(quantize_cpu)>(kQuantize);
  auto [by_row, row_inverse, by_column, column_inverse] =
      op.call(x, dtype == at::kFloat8_e5m2, rowwise, wanted.by_row, wanted.by_column);
  return {by_row, row_inverse, by_column, column_inverse};
}

at::Tensor float8_product(const at::Tensor& a, const at::Tensor& a_inverse, const at::Tensor& b,
                          const at::Tensor& b_inverse, const at::Tensor& bias,
                          const Float8ProductOptions& options) {
  TITAN_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(1),
              "[float8] a product sums over the last dimension of both (a=", a.sizes(),
              ", b=", b.sizes(), ")");
  static const auto op = detail::find_op<decltype(product_cpu)>(kProduct);
  return op.call(a, a_inverse, b, b_inverse, detail::optional(bias), options.out_dtype,
                 options.emulate, options.fast_sums);
}

Float8Copies reference::float8_quantize(const at::Tensor& x, at::ScalarType dtype, bool rowwise,
                                        Float8Wanted wanted) {
  Float8Copies copies;
  if (wanted.by_row)
    std::tie(copies.by_row, copies.row_inverse) = reference_copy(x, dtype, rowwise);
  if (!wanted.by_column) return copies;
  auto [q, inverse] = reference_copy(x.t(), dtype, rowwise);
  const int64_t held =
      (x.size(0) + detail::kFloat8Step - 1) / detail::kFloat8Step * detail::kFloat8Step;
  const at::Tensor padded = at::zeros({x.size(1), held}, q.options());
  copies.by_column = padded.narrow(1, 0, x.size(0));
  copies.by_column.copy_(q);
  copies.column_inverse = inverse;
  return copies;
}

}  // namespace titan::ops
