// The operations of 8-bit layers on shapes alone (meta.cpp says what for).
#include <tuple>

#include <ATen/ATen.h>
#include <torch/library.h>

#include "titan/ops/dispatch.h"
#include "titan/ops/float8_kernel.h"
#include "titan/ops/planned_device.h"

namespace titan::ops {
namespace {

using at::Tensor;
using detail::Float8Normed;
using detail::Float8Recipe;
using detail::Float8Result;
using detail::Float8Shape;
using detail::OptionalTensor;

at::TensorOptions statistics(const Tensor& like) { return like.options().dtype(at::kFloat); }

Float8Result rounded(const Tensor& like, Float8Shape shape, const Float8Recipe& recipe) {
  const Float8Result out = detail::allocate_float8(like.options(), shape, recipe);
  const Tensor workspace = at::empty({shape.rows + shape.columns}, statistics(like));
  return out;
}

/// What a fused operation writes on the CPU before it is rounded; nothing on a GPU.
Tensor written_first(at::IntArrayRef sizes, const Tensor& like) {
  return planned_device() == c10::DeviceType::CPU ? at::empty(sizes, like.options()) : Tensor();
}

Float8Result float8_quantize_meta(const Tensor& x_in, bool e5m2, bool rowwise, bool by_row,
                                  bool by_column) {
  const Tensor x = x_in.contiguous();
  return rounded(x, detail::float8_shape(x),
                 {.e5m2 = e5m2, .rowwise = rowwise, .by_row = by_row, .by_column = by_column});
}

Float8Normed float8_normed_meta(const Tensor& x_in, const OptionalTensor& branch,
                                const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                                const OptionalTensor&, const OptionalTensor&, double, bool rms,
                                bool rowwise, bool by_column) {
  const Tensor x = x_in.contiguous();
  const Tensor held = branch ? branch->to(x.scalar_type()).contiguous() : Tensor();
  const Tensor h = branch ? at::empty_like(x) : Tensor();
  const Tensor y = written_first(x.sizes(), x);
  const Tensor mean = at::empty({rms ? 0 : x.size(0), x.size(1)}, statistics(x)),
               rstd = at::empty({x.size(0), x.size(1)}, statistics(x));
  return std::tuple_cat(
      std::make_tuple(h, mean, rstd),
      rounded(x, detail::float8_shape(x), {.rowwise = rowwise, .by_column = by_column}));
}

Float8Result float8_gelu_meta(const Tensor& x_in, bool rowwise, bool by_column) {
  const Tensor x = x_in.contiguous(), y = written_first(x.sizes(), x);
  return rounded(x, detail::float8_shape(x), {.rowwise = rowwise, .by_column = by_column});
}

Float8Result float8_swiglu_meta(const Tensor& a_in, const Tensor& b_in, bool rowwise,
                                bool by_column) {
  const Tensor a = a_in.contiguous(), b = b_in.contiguous(), y = written_first(a.sizes(), a);
  return rounded(a, detail::float8_shape(a), {.rowwise = rowwise, .by_column = by_column});
}

Float8Result float8_beside_gelu_meta(const Tensor& y_in, const Tensor& attended_in, bool rowwise,
                                     bool by_column) {
  const Tensor y = y_in.contiguous(), attended = attended_in.contiguous();
  const Float8Shape shape{y.size(0) * y.size(1), y.size(2) - 2 * attended.size(2)};
  const Tensor inner = written_first({shape.rows, shape.columns}, y);
  return rounded(y, shape, {.rowwise = rowwise, .by_column = by_column});
}

/// An emulated product holds both operands and the sums in float32.
Tensor float8_product_meta(const Tensor& a, const Tensor&, const Tensor& b, const Tensor&,
                           const OptionalTensor&, at::ScalarType out_dtype, bool emulate, bool) {
  if (!emulate) return at::empty({a.size(0), b.size(0)}, a.options().dtype(out_dtype));
  Tensor sums;
  {
    const Tensor a_exact = at::empty(detail::as_held(a).sizes(), statistics(a));
    const Tensor b_exact = at::empty(detail::as_held(b).sizes(), statistics(b));
    sums = at::empty({a.size(0), b.size(0)}, statistics(a));
  }
  return sums.to(out_dtype);
}

TORCH_LIBRARY_IMPL(titan, Meta, m) {
  m.impl("float8_quantize", TORCH_FN(float8_quantize_meta));
  m.impl("float8_normed", TORCH_FN(float8_normed_meta));
  m.impl("float8_gelu", TORCH_FN(float8_gelu_meta));
  m.impl("float8_swiglu", TORCH_FN(float8_swiglu_meta));
  m.impl("float8_beside_gelu", TORCH_FN(float8_beside_gelu_meta));
  m.impl("float8_product", TORCH_FN(float8_product_meta));
}

}  // namespace
}  // namespace titan::ops
