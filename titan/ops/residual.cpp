#include "titan/ops/residual.h"

#include <tuple>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/elementwise_kernel.h"
#include "titan/ops/reference.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kResidual = "titan::gated_residual";
constexpr const char* kResidualBackward = "titan::gated_residual_backward";

at::Tensor residual_forward_cpu(const at::Tensor& x, const at::Tensor& branch,
                                const at::Tensor& gate) {
  return detail::run_residual_forward(kernels::cpu::gated_residual_forward, x, branch, gate);
}
std::tuple<at::Tensor, at::Tensor> residual_backward_cpu(const at::Tensor& grad,
                                                         const at::Tensor& branch,
                                                         const at::Tensor& gate) {
  return detail::run_residual_backward(kernels::cpu::gated_residual_backward, grad, branch, gate);
}

at::Tensor residual_redispatch_forward(const at::Tensor& x, const at::Tensor& branch,
                                       const at::Tensor& gate) {
  static const auto op = detail::find_op<decltype(residual_forward_cpu)>(kResidual);
  return op.redispatch(detail::below_autograd(x), x, branch, gate);
}

class ResidualFunction : public torch::autograd::Function<ResidualFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& branch,
                            const at::Tensor& gate) {
    ctx->save_for_backward({branch, gate});
    return residual_redispatch_forward(x, branch, gate);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(residual_backward_cpu)>(kResidualBackward);
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_branch, grad_gate] = op.call(grads[0], saved[0], saved[1]);
    return {grads[0], grad_branch, grad_gate};
  }
};

at::Tensor residual_forward_autograd(const at::Tensor& x, const at::Tensor& branch,
                                     const at::Tensor& gate) {
  return detail::needs_gradient({x, branch, gate}) ? ResidualFunction::apply(x, branch, gate)
                                                   : residual_redispatch_forward(x, branch, gate);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("gated_residual(Tensor x, Tensor branch, Tensor gate) -> Tensor");
  m.def("gated_residual_backward(Tensor grad, Tensor branch, Tensor gate) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("gated_residual", TORCH_FN(residual_forward_cpu));
  m.impl("gated_residual_backward", TORCH_FN(residual_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("gated_residual", TORCH_FN(residual_forward_autograd));
  m.impl("gated_residual_backward", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate) {
  TITAN_CHECK(x.dim() == 3 && branch.sizes() == x.sizes(),
              "[gated_residual] x and branch must be [B, N, D] (x=", x.sizes(),
              ", branch=", branch.sizes(), ")");
  if (!gate.defined()) return x + branch;
  const at::Tensor rows = gate.dim() == 3 && gate.size(1) == 1 ? gate.squeeze(1) : gate;
  TITAN_CHECK(rows.dim() == 2 && rows.size(0) == x.size(0) && rows.size(1) == x.size(2),
              "[gated_residual] gate must be [B, D] (gate=", gate.sizes(), ", x=", x.sizes(), ")");
  if (!use_fused(x, kResidual)) return reference::gated_residual(x, branch, rows);
  static const auto op = detail::find_op<decltype(residual_forward_cpu)>(kResidual);
  return op.call(x, branch, rows);
}

}  // namespace titan::ops
