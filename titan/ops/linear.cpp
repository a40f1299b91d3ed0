#include "titan/ops/linear.h"

#include <array>
#include <tuple>

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/kernels/gemm.h"
#include "titan/ops/backend.h"
#include "titan/ops/dispatch.h"
#include "titan/ops/gradient_place.h"
#include "titan/ops/kept.h"
#include "titan/ops/matrix_rows.h"

namespace titan::ops {
namespace {

using kernels::GemmOperand;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kLinear = "titan::linear";
constexpr const char* kLinearBackward = "titan::linear_backward";

/// A matrix whose rows are the result's dimension, or (by_column) are summed over.
GemmOperand by_row(const at::Tensor& matrix) {
  return {matrix.const_data_ptr<float>(), matrix.stride(0), 1};
}
GemmOperand by_column(const at::Tensor& matrix) {
  return {matrix.const_data_ptr<float>(), 1, matrix.stride(0)};
}

at::Tensor linear_forward_cpu(const at::Tensor& x_in, const at::Tensor& weight_in,
                              const detail::OptionalTensor& bias_in) {
  const at::Tensor x = detail::matrix_rows(x_in), weight = detail::matrix_rows(weight_in);
  const at::Tensor bias = bias_in ? bias_in->contiguous() : at::Tensor();
  at::Tensor out = at::empty(detail::linear_shape(x_in, weight), x.options());
  kernels::cpu::gemm({.rows = x.size(0),
                      .columns = weight.size(0),
                      .depth = x.size(1),
                      .a = by_row(x),
                      .b = by_row(weight),
                      .c = out.mutable_data_ptr<float>(),
                      .c_step = weight.size(0),
                      .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr});
  return out;
}

at::Tensor grad_of_x(const at::Tensor& grad, const at::Tensor& weight, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, grad.options());
  kernels::cpu::gemm({.rows = grad.size(0),
                      .columns = weight.size(1),
                      .depth = grad.size(1),
                      .a = by_row(grad),
                      .b = by_column(weight),
                      .c = out.mutable_data_ptr<float>(),
                      .c_step = weight.size(1)});
  return out;
}

/// The gradient of the weight; that of the bias, the sums over grad's columns, comes with it.
at::Tensor grad_of_weight(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias) {
  at::Tensor out = take_gradient_place(weight);
  if (!out.defined()) out = at::empty(weight.sizes(), grad.options());
  kernels::cpu::gemm({.rows = grad.size(1),
                      .columns = x.size(1),
                      .depth = grad.size(0),
                      .a = by_column(grad),
                      .b = by_column(x),
                      .c = out.mutable_data_ptr<float>(),
                      .c_step = x.size(1),
                      .a_row_sums = bias.defined() ? bias.mutable_data_ptr<float>() : nullptr});
  return out;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> linear_backward_cpu(const at::Tensor& grad_in,
                                                                   const at::Tensor& x_in,
                                                                   const at::Tensor& weight_in,
                                                                   std::array<bool, 3> wanted) {
  const at::Tensor grad = detail::matrix_rows(grad_in);
  at::Tensor grad_x, grad_weight, grad_bias;
  if (wanted[0]) grad_x = grad_of_x(grad, detail::matrix_rows(weight_in), x_in.sizes());
  if (wanted[2])
    grad_bias = wanted[1] ? at::empty({grad.size(1)}, grad.options()) : grad.sum(/*dim=*/0);
  if (wanted[1])
    grad_weight = grad_of_weight(grad, detail::matrix_rows(x_in), weight_in, grad_bias);
  return {grad_x, grad_weight, grad_bias};
}

at::Tensor linear_redispatch_forward(const at::Tensor& x, const at::Tensor& weight,
                                     const detail::OptionalTensor& bias) {
  static const auto op = detail::find_op<decltype(linear_forward_cpu)>(kLinear);
  return op.redispatch(detail::below_autograd(x), x, weight, bias);
}

class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const detail::OptionalTensor& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["with_bias"] = bias.has_value();
    return linear_redispatch_forward(x, weight, bias);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(linear_backward_cpu)>(kLinearBackward);
    const variable_list saved = ctx->get_saved_variables();
    // Without a bias there is no third edge to ask about.
    const bool bias_wanted = ctx->saved_data["with_bias"].toBool() && ctx->needs_input_grad(2);
    auto [x, weight, bias] =
        op.call(grads[0], saved[0], saved[1],
                {ctx->needs_input_grad(0), ctx->needs_input_grad(1), bias_wanted});
    return {x, weight, bias};
  }
};

at::Tensor linear_forward_autograd(const at::Tensor& x, const at::Tensor& weight,
                                   const detail::OptionalTensor& bias) {
  return detail::needs_gradient({x, weight, detail::value(bias)})
             ? LinearFunction::apply(x, weight, bias)
             : linear_redispatch_forward(x, weight, bias);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
  m.def(
      "linear_backward(Tensor grad, Tensor x, Tensor weight, bool[3] wanted) -> "
      "(Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("linear", TORCH_FN(linear_forward_cpu));
  m.impl("linear_backward", TORCH_FN(linear_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("linear", TORCH_FN(linear_forward_autograd));
  m.impl("linear_backward", torch::autograd::autogradNotImplementedFallback());
}

/// Whether our own product makes this layer.
bool ours(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto fits = [&](const at::Tensor& t) {
    return t.scalar_type() == at::kFloat && t.device() == x.device();
  };
  if (!fits(x) || !fits(weight) || (bias.defined() && !fits(bias))) return false;
  const int64_t in = weight.size(1), rows = in == 0 ? 0 : x.numel() / in;
  return (x.is_cpu() || x.is_meta()) && use_fused(x, kLinear) &&
         kernels::cpu::gemm_pays(rows, weight.size(0), in);
}

/// The products that either way's derivative makes, in its order and layout.
TensorList linear_derivative(const KeptCall& call) {
  const at::Tensor &x = call.inputs[0], &weight = call.inputs[1], &bias = call.inputs[2];
  if (ours(x, weight, bias)) {
    static const auto op = detail::find_op<decltype(linear_backward_cpu)>(kLinearBackward);
    auto [grad_x, grad_weight, grad_bias] =
        op.call(call.grad, x, weight, {call.wanted[0], call.wanted[1], call.wanted[2]});
    return {grad_x, grad_weight, grad_bias};
  }
  const at::Tensor grad = call.grad.reshape({-1, weight.size(0)});
  TensorList gradients(3);
  if (call.wanted[0]) gradients[0] = grad.mm(weight).view(x.sizes());
  if (call.wanted[1]) gradients[1] = grad.t().mm(x.reshape({-1, weight.size(1)}));
  if (call.wanted[2]) gradients[2] = at::sum_to(grad, bias.sizes());
  return gradients;
}
constexpr Keepable kLinearKeepable{
    .tag = kMatmulTag, .num_results = 1, .derivative = linear_derivative};

at::Tensor compute(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!ours(x, weight, bias)) return at::linear(x, weight, detail::optional(bias));
  static const auto op = detail::find_op<decltype(linear_forward_cpu)>(kLinear);
  return op.call(x, weight, detail::optional(bias));
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  TITAN_CHECK(x.defined() && weight.defined() && x.dim() >= 1 && weight.dim() == 2 &&
                  x.size(-1) == weight.size(1) &&
                  (!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0))),
              "[linear] x must be [..., in], weight [out, in], bias [out] or undefined (x=",
              detail::shape_text(x), ", weight=", detail::shape_text(weight),
              ", bias=", detail::shape_text(bias), ")");
  return kept(
      kLinearKeepable, [&] { return compute(x, weight, bias); }, x, weight, bias);
}

}  // namespace titan::ops
