#include "titan/ops/gelu.h"

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

constexpr const char* kGelu = "titan::gelu";
constexpr const char* kGeluBackward = "titan::gelu_backward";

at::Tensor gelu_forward_cpu(const at::Tensor& x) {
  return detail::run_gelu_forward(kernels::cpu::gelu_forward, x);
}
at::Tensor gelu_backward_cpu(const at::Tensor& grad, const at::Tensor& x) {
  return detail::run_gelu_backward(kernels::cpu::gelu_backward, grad, x);
}

at::Tensor gelu_redispatch_forward(const at::Tensor& x) {
  static const auto op = detail::find_op<decltype(gelu_forward_cpu)>(kGelu);
  return op.redispatch(detail::below_autograd(x), x);
}

class GeluFunction : public torch::autograd::Function<GeluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    return gelu_redispatch_forward(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(gelu_backward_cpu)>(kGeluBackward);
    return {op.call(grads[0], ctx->get_saved_variables()[0])};
  }
};

at::Tensor gelu_forward_autograd(const at::Tensor& x) {
  return detail::needs_gradient({x}) ? GeluFunction::apply(x) : gelu_redispatch_forward(x);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("gelu(Tensor x) -> Tensor");
  m.def("gelu_backward(Tensor grad, Tensor x) -> Tensor");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("gelu", TORCH_FN(gelu_forward_cpu));
  m.impl("gelu_backward", TORCH_FN(gelu_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("gelu", TORCH_FN(gelu_forward_autograd));
  m.impl("gelu_backward", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

at::Tensor gelu(const at::Tensor& x) {
  if (!use_fused(x, kGelu)) return reference::gelu(x);
  static const auto op = detail::find_op<decltype(gelu_forward_cpu)>(kGelu);
  return op.call(x);
}

}  // namespace titan::ops
