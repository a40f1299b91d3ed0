#include "titan/ops/residual.h"

#include <tuple>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/kernels/elementwise.h"
#include "titan/ops/backend.h"
#include "titan/ops/dispatch.h"
#include "titan/ops/reference.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kForward = "titan::gated_residual";
constexpr const char* kBackward = "titan::gated_residual_backward";

/// The gate in x's dtype with unit column stride.
at::Tensor kernel_gate(const at::Tensor& gate, const at::Tensor& x) {
  const at::Tensor same = gate.to(x.scalar_type());
  return same.stride(1) == 1 ? same : same.contiguous();
}

kernels::cpu::ResidualProblem problem_of(const at::Tensor& x, const at::Tensor& gate) {
  return {.batch = x.size(0),
          .tokens = x.size(1),
          .dim = x.size(2),
          .gate_stride = gate.stride(0),
          .storage = detail::storage_of(x)};
}

at::Tensor forward_cpu(const at::Tensor& x_in, const at::Tensor& branch_in,
                       const at::Tensor& gate_in) {
  const at::Tensor x = x_in.contiguous(), branch = branch_in.to(x.scalar_type()).contiguous();
  const at::Tensor gate = kernel_gate(gate_in, x);
  at::Tensor out = at::empty_like(x);
  kernels::cpu::gated_residual_forward(problem_of(x, gate), x.const_data_ptr(),
                                       branch.const_data_ptr(), gate.const_data_ptr(),
                                       out.mutable_data_ptr());
  return out;
}

std::tuple<at::Tensor, at::Tensor> backward_cpu(const at::Tensor& grad_in,
                                                const at::Tensor& branch_in,
                                                const at::Tensor& gate_in) {
  const at::Tensor grad = grad_in.contiguous(),
                   branch = branch_in.to(grad.scalar_type()).contiguous();
  const at::Tensor gate = kernel_gate(gate_in, grad);
  at::Tensor grad_branch = at::empty_like(branch);
  at::Tensor grad_gate = at::empty(gate.sizes(), gate.options().dtype(at::kFloat));
  kernels::cpu::gated_residual_backward(
      problem_of(grad, gate), grad.const_data_ptr(), branch.const_data_ptr(), gate.const_data_ptr(),
      grad_branch.mutable_data_ptr(), grad_gate.mutable_data_ptr<float>());
  return {grad_branch, grad_gate.to(gate_in.scalar_type())};
}

at::Tensor redispatch_forward(const at::Tensor& x, const at::Tensor& branch,
                              const at::Tensor& gate) {
  static const auto op = detail::find_op<decltype(forward_cpu)>(kForward);
  return op.redispatch(detail::below_autograd(x), x, branch, gate);
}

class ResidualFunction : public torch::autograd::Function<ResidualFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& branch,
                            const at::Tensor& gate) {
    ctx->save_for_backward({branch, gate});
    return redispatch_forward(x, branch, gate);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(backward_cpu)>(kBackward);
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_branch, grad_gate] = op.call(grads[0], saved[0], saved[1]);
    return {grads[0], grad_branch, grad_gate};
  }
};

at::Tensor forward_autograd(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate) {
  return detail::needs_gradient({x, branch, gate}) ? ResidualFunction::apply(x, branch, gate)
                                                   : redispatch_forward(x, branch, gate);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("gated_residual(Tensor x, Tensor branch, Tensor gate) -> Tensor");
  m.def("gated_residual_backward(Tensor grad, Tensor branch, Tensor gate) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("gated_residual", TORCH_FN(forward_cpu));
  m.impl("gated_residual_backward", TORCH_FN(backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("gated_residual", TORCH_FN(forward_autograd));
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
  if (!use_fused(x, kForward)) return reference::gated_residual(x, branch, rows);
  static const auto op = detail::find_op<decltype(forward_cpu)>(kForward);
  return op.call(x, branch, rows);
}

}  // namespace titan::ops
