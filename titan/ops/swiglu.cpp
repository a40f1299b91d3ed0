#include "titan/ops/swiglu.h"

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

constexpr const char* kSwiglu = "titan::swiglu";
constexpr const char* kSwigluBackward = "titan::swiglu_backward";

at::Tensor swiglu_forward_cpu(const at::Tensor& a, const at::Tensor& b) {
  return detail::run_swiglu_forward(kernels::cpu::swiglu_forward, a, b);
}
std::tuple<at::Tensor, at::Tensor> swiglu_backward_cpu(const at::Tensor& grad, const at::Tensor& a,
                                                       const at::Tensor& b) {
  return detail::run_swiglu_backward(kernels::cpu::swiglu_backward, grad, a, b);
}

at::Tensor swiglu_redispatch_forward(const at::Tensor& a, const at::Tensor& b) {
  static const auto op = detail::find_op<decltype(swiglu_forward_cpu)>(kSwiglu);
  return op.redispatch(detail::below_autograd(a), a, b);
}

class SwigluFunction : public torch::autograd::Function<SwigluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& a, const at::Tensor& b) {
    ctx->save_for_backward({a, b});
    return swiglu_redispatch_forward(a, b);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(swiglu_backward_cpu)>(kSwigluBackward);
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_a, grad_b] = op.call(grads[0], saved[0], saved[1]);
    return {grad_a, grad_b};
  }
};

at::Tensor swiglu_forward_autograd(const at::Tensor& a, const at::Tensor& b) {
  return detail::needs_gradient({a, b}) ? SwigluFunction::apply(a, b)
                                        : swiglu_redispatch_forward(a, b);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("swiglu(Tensor a, Tensor b) -> Tensor");
  m.def("swiglu_backward(Tensor grad, Tensor a, Tensor b) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("swiglu", TORCH_FN(swiglu_forward_cpu));
  m.impl("swiglu_backward", TORCH_FN(swiglu_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("swiglu", TORCH_FN(swiglu_forward_autograd));
  m.impl("swiglu_backward", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b) {
  TITAN_CHECK(a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type(),
              "[swiglu] a and b must have one shape and dtype (a=", a.sizes(), ", b=", b.sizes(),
              ")");
  if (!use_fused(a, kSwiglu)) return reference::swiglu(a, b);
  static const auto op = detail::find_op<decltype(swiglu_forward_cpu)>(kSwiglu);
  return op.call(a, b);
}

}  // namespace titan::ops
