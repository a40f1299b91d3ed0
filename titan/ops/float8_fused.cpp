// titan::float8_gelu, float8_swiglu and float8_beside_gelu: activations whose result is rounded to
// 8 bits.
#include "titan/ops/float8_fused.h"

#include <tuple>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/attention.h"
#include "titan/ops/backend.h"
#include "titan/ops/elementwise_kernel.h"
#include "titan/ops/float8_kernel.h"
#include "titan/ops/gelu.h"
#include "titan/ops/stream_qkv.h"
#include "titan/ops/stream_qkv_kernel.h"
#include "titan/ops/swiglu.h"

namespace titan::ops {
namespace {

using detail::Float8Result;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kFloat8Gelu = "titan::float8_gelu";
constexpr const char* kFloat8Swiglu = "titan::float8_swiglu";
constexpr const char* kFloat8BesideGelu = "titan::float8_beside_gelu";

// On the CPU: the kernels one after the other.

Float8Result float8_gelu_cpu(const at::Tensor& x, bool rowwise, bool by_column) {
  return detail::float8_quantize_cpu(detail::run_gelu_forward(kernels::cpu::gelu_forward, x),
                                     {.rowwise = rowwise, .by_column = by_column});
}

Float8Result float8_swiglu_cpu(const at::Tensor& a, const at::Tensor& b, bool rowwise,
                               bool by_column) {
  return detail::float8_quantize_cpu(detail::run_swiglu_forward(kernels::cpu::swiglu_forward, a, b),
                                     {.rowwise = rowwise, .by_column = by_column});
}

Float8Result float8_beside_gelu_cpu(const at::Tensor& y_in, const at::Tensor& attended,
                                    bool rowwise, bool by_column) {
  const at::Tensor y = y_in.contiguous();
  const detail::GeluColumns columns(y, attended.size(2));
  const at::Tensor inner =
      at::empty({y.size(0), y.size(1), columns.problem.out_stride}, y.options());
  inner.narrow(2, 0, attended.size(2)).copy_(attended);
  kernels::cpu::gelu_forward(columns.problem, detail::from(y, columns.y_offset),
                             detail::into(inner, columns.inner_offset));
  return detail::float8_quantize_cpu(inner, {.rowwise = rowwise, .by_column = by_column});
}

class Float8GeluFunction : public torch::autograd::Function<Float8GeluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    return detail::float8_placeholder(x.sizes(), x.options());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op =
        detail::find_op<at::Tensor(const at::Tensor&, const at::Tensor&)>("titan::gelu_backward");
    return {op.call(grads[0], ctx->get_saved_variables()[0])};
  }
};

class Float8SwigluFunction : public torch::autograd::Function<Float8SwigluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& a, const at::Tensor& b) {
    ctx->save_for_backward({a, b});
    return detail::float8_placeholder(a.sizes(), a.options());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<std::tuple<at::Tensor, at::Tensor>(
        const at::Tensor&, const at::Tensor&, const at::Tensor&)>("titan::swiglu_backward");
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_a, grad_b] = op.call(grads[0], saved[0], saved[1]);
    return {grad_a, grad_b};
  }
};

/// As place_attended's: `inner` stands for gelu's part, whose gradient parallel_qkv's backward
/// takes from the whole.
class Float8BesideFunction : public torch::autograd::Function<Float8BesideFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& inner,
                            const at::Tensor& attended) {
    ctx->saved_data["width"] = attended.size(2);
    return detail::float8_placeholder(inner.sizes(), inner.options());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0], grads[0].narrow(2, 0, ctx->saved_data["width"].toInt())};
  }
};

/// The input whose copies `op` makes of `sources`; `recorded` gives what stands for it.
template <class Op, class Recorded, class... Sources>
Float8Input rounded_by(const Op& op, const Float8Rounding& rounding, const Recorded& recorded,
                       const Sources&... sources) {
  Float8Input input{.values = recorded(), .copies = {}, .rowwise = rounding.rowwise};
  const bool by_column = detail::float8_by_column(rounding);
  const at::NoGradGuard no_grad;
  auto [by_row, row_inverse, columns, column_inverse] =
      op.call(sources..., rounding.rowwise, by_column);
  input.copies = {by_row, row_inverse, columns, column_inverse};
  return input;
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("float8_gelu(Tensor x, bool rowwise, bool by_column) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "float8_swiglu(Tensor a, Tensor b, bool rowwise, bool by_column) -> (Tensor, Tensor, Tensor, "
      "Tensor)");
  m.def(
      "float8_beside_gelu(Tensor y, Tensor attended, bool rowwise, bool by_column) -> (Tensor, "
      "Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("float8_gelu", TORCH_FN(float8_gelu_cpu));
  m.impl("float8_swiglu", TORCH_FN(float8_swiglu_cpu));
  m.impl("float8_beside_gelu", TORCH_FN(float8_beside_gelu_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  for (const char* name : {"float8_gelu", "float8_swiglu", "float8_beside_gelu"})
    m.impl(name, torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

Float8Input float8_gelu(const at::Tensor& x, const Float8Rounding& rounding) {
  if (x.numel() == 0 || !use_fused(x, kFloat8Gelu)) return float8_input(ops::gelu(x), rounding);
  static const auto op = detail::find_op<decltype(float8_gelu_cpu)>(kFloat8Gelu);
  const auto recorded = [&] {
    return detail::needs_gradient({x}) ? Float8GeluFunction::apply(x)
                                       : detail::float8_placeholder(x.sizes(), x.options());
  };
  return rounded_by(op, rounding, recorded, x);
}

Float8Input float8_swiglu(const at::Tensor& a, const at::Tensor& b,
                          const Float8Rounding& rounding) {
  const bool alike = a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type();
  if (!alike || a.numel() == 0 || !use_fused(a, kFloat8Swiglu))
    return float8_input(swiglu(a, b), rounding);  // which says what does not fit
  static const auto op = detail::find_op<decltype(float8_swiglu_cpu)>(kFloat8Swiglu);
  const auto recorded = [&] {
    return detail::needs_gradient({a, b}) ? Float8SwigluFunction::apply(a, b)
                                          : detail::float8_placeholder(a.sizes(), a.options());
  };
  return rounded_by(op, rounding, recorded, a, b);
}

Float8Input float8_parallel_attention(const at::Tensor& y, const at::Tensor& q_scale,
                                      const at::Tensor& k_scale, const StreamAttention& options,
                                      const Float8Rounding& rounding) {
  if (y.numel() == 0 || !has_parallel_heads(y) || !use_fused(y, kFloat8BesideGelu))
    return float8_input(parallel_attention(y, q_scale, k_scale, options), rounding);
  detail::check_streams(y, q_scale, k_scale, options, y.size(1));
  const ParallelHeads parallel = parallel_heads(y, q_scale, k_scale, options, Inner::kStandIn);
  const Heads& heads = parallel.heads;
  const at::Tensor& inner = parallel.inner;
  const at::Tensor attended = attention(heads.q, heads.k, heads.v).flatten(2);
  static const auto op = detail::find_op<decltype(float8_beside_gelu_cpu)>(kFloat8BesideGelu);
  const auto recorded = [&] {
    return detail::needs_gradient({inner, attended})
               ? Float8BesideFunction::apply(inner, attended)
               : detail::float8_placeholder(inner.sizes(), inner.options());
  };
  return rounded_by(op, rounding, recorded, y, attended);
}

}  // namespace titan::ops
