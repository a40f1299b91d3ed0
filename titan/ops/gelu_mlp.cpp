#include "titan/ops/gelu_mlp.h"

#include <tuple>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/dispatch.h"
#include "titan/ops/gelu.h"
#include "titan/ops/gelu_mlp_choice.h"
#include "titan/ops/kept.h"
#include "titan/ops/linear.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

constexpr const char* kForward = "titan::linear_gelu";
constexpr const char* kBackward = "titan::linear_gelu_grad";

/// gelu(x W^T + b) and what it is taken of.
TwoTensors forward_cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::DisableRecordFunctionGuard counted_as_one;
  const at::Tensor before = at::addmm(bias, x, weight.t());
  return {at::gelu(before, "tanh"), before};
}

/// (grad W) gelu'(before), and its sums over rows.
TwoTensors backward_cpu(const at::Tensor& grad, const at::Tensor& weight,
                        const at::Tensor& before) {
  const at::DisableRecordFunctionGuard counted_as_one;
  const at::Tensor grad_before = at::gelu_backward(grad.mm(weight), before, "tanh");
  return {grad_before, grad_before.sum(0)};
}

TwoTensors linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto op = detail::find_op<decltype(forward_cpu)>(kForward);
  return op.call(x, weight, bias);
}

/// Matrices; x [rows, in].
class GeluMlp : public torch::autograd::Function<GeluMlp> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight1,
                            const at::Tensor& bias1, const at::Tensor& weight2,
                            const at::Tensor& bias2) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [hidden, before] = linear_gelu(x, weight1, bias1);
    ctx->save_for_backward({x, weight1, weight2, hidden, before});
    return at::addmm(bias2, hidden, weight2.t());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(backward_cpu)>(kBackward);
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight1 = saved[1], &weight2 = saved[2], &hidden = saved[3],
                     &before = saved[4];
    const at::Tensor grad = grads[0].contiguous();
    const auto wanted = [&](std::size_t input) { return ctx->needs_input_grad(input); };
    variable_list found(5);
    if (wanted(3)) found[3] = grad.t().mm(hidden);
    if (wanted(4)) found[4] = grad.sum(0);
    if (!wanted(0) && !wanted(1) && !wanted(2)) return found;
    const auto [grad_before, grad_bias] = op.call(grad, weight2, before);
    if (wanted(0)) found[0] = grad_before.mm(weight1);
    if (wanted(1)) found[1] = grad_before.t().mm(x);
    if (wanted(2)) found[2] = grad_bias;
    return found;
  }
};

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("linear_gelu(Tensor x, Tensor weight, Tensor bias) -> (Tensor out, Tensor before)");
  m.def(
      "linear_gelu_grad(Tensor grad, Tensor weight, Tensor before) -> (Tensor grad_before, Tensor "
      "grad_bias)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("linear_gelu", TORCH_FN(forward_cpu));
  m.impl("linear_gelu_grad", TORCH_FN(backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("linear_gelu", torch::autograd::autogradNotImplementedFallback());
  m.impl("linear_gelu_grad", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

at::Tensor detail::gelu_mlp_in_epilogues(const at::Tensor& x, const at::Tensor& weight1,
                                         const at::Tensor& bias1, const at::Tensor& weight2,
                                         const at::Tensor& bias2) {
  const at::Tensor rows = x.reshape({-1, x.size(-1)}).contiguous();
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weight2.size(0);
  if (detail::needs_gradient({x, weight1, bias1, weight2, bias2}))
    return GeluMlp::apply(rows, weight1, bias1, weight2, bias2).view(sizes);
  return at::addmm(bias2, std::get<0>(linear_gelu(rows, weight1, bias1)), weight2.t()).view(sizes);
}

at::Tensor detail::gelu_mlp_apart(const at::Tensor& x, const at::Tensor& weight1,
                                  const at::Tensor& bias1, const at::Tensor& weight2,
                                  const at::Tensor& bias2) {
  return linear(ops::gelu(linear(x, weight1, bias1)), weight2, bias2);
}

at::Tensor gelu_mlp(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                    const at::Tensor& weight2, const at::Tensor& bias2) {
  // A recomputed block keeps results by operation: it sees the two products and GELU as such.
  const bool in_epilogues = kept_results() == nullptr &&
                            detail::epilogues_possible(x, weight1, bias1, weight2, bias2) &&
                            detail::epilogues_chosen(x, weight1, bias1, weight2, bias2);
  return in_epilogues ? detail::gelu_mlp_in_epilogues(x, weight1, bias1, weight2, bias2)
                      : detail::gelu_mlp_apart(x, weight1, bias1, weight2, bias2);
}

}  // namespace titan::ops
