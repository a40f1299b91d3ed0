#include "titan/ops/gelu.h"

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

constexpr const char* kForward = "titan::gelu";
constexpr const char* kBackward = "titan::gelu_backward";

/// A contiguous x as rows of its last dimension.
kernels::cpu::GeluProblem problem_of(const at::Tensor& x) {
  const int64_t columns = x.dim() == 0 ? 1 : x.size(-1);
  return {.rows = columns == 0 ? 0 : x.numel() / columns,
          .columns = columns,
          .x_stride = columns,
          .out_stride = columns,
          .storage = detail::storage_of(x)};
}

at::Tensor forward_cpu(const at::Tensor& x_in) {
  const at::Tensor x = x_in.contiguous();
  at::Tensor out = at::empty_like(x);
  kernels::cpu::gelu_forward(problem_of(x), x.const_data_ptr(), out.mutable_data_ptr());
  return out;
}

at::Tensor backward_cpu(const at::Tensor& grad_in, const at::Tensor& x_in) {
  const at::Tensor x = x_in.contiguous(), grad = grad_in.to(x.scalar_type()).contiguous();
  at::Tensor grad_x = at::empty_like(x);
  kernels::cpu::gelu_backward(problem_of(x), grad.const_data_ptr(), x.const_data_ptr(),
                              grad_x.mutable_data_ptr());
  return grad_x;
}

at::Tensor redispatch_forward(const at::Tensor& x) {
  static const auto op = detail::find_op<decltype(forward_cpu)>(kForward);
  return op.redispatch(detail::below_autograd(x), x);
}

class GeluFunction : public torch::autograd::Function<GeluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    return redispatch_forward(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(backward_cpu)>(kBackward);
    return {op.call(grads[0], ctx->get_saved_variables()[0])};
  }
};

at::Tensor forward_autograd(const at::Tensor& x) {
  return detail::needs_gradient({x}) ? GeluFunction::apply(x) : redispatch_forward(x);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("gelu(Tensor x) -> Tensor");
  m.def("gelu_backward(Tensor grad, Tensor x) -> Tensor");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("gelu", TORCH_FN(forward_cpu));
  m.impl("gelu_backward", TORCH_FN(backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("gelu", TORCH_FN(forward_autograd));
  m.impl("gelu_backward", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

at::Tensor gelu(const at::Tensor& x) {
  if (!use_fused(x, kForward)) return reference::gelu(x);
  static const auto op = detail::find_op<decltype(forward_cpu)>(kForward);
  return op.call(x);
}

}  // namespace titan::ops
