#include "titan/ops/mse.h"

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

constexpr const char* kMse = "titan::mse";
constexpr const char* kMseBackward = "titan::mse_backward";

at::Tensor mse_forward_cpu(const at::Tensor& prediction, const at::Tensor& target) {
  return detail::run_mse_forward(kernels::cpu::mse_forward, prediction, target);
}
at::Tensor mse_backward_cpu(const at::Tensor& grad, const at::Tensor& prediction,
                            const at::Tensor& target) {
  return detail::run_mse_backward(kernels::cpu::mse_backward, grad, prediction, target);
}

at::Tensor mse_redispatch_forward(const at::Tensor& prediction, const at::Tensor& target) {
  static const auto op = detail::find_op<decltype(mse_forward_cpu)>(kMse);
  return op.redispatch(detail::below_autograd(prediction), prediction, target);
}

class MseFunction : public torch::autograd::Function<MseFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& prediction,
                            const at::Tensor& target) {
    ctx->save_for_backward({prediction, target});
    return mse_redispatch_forward(prediction, target);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(mse_backward_cpu)>(kMseBackward);
    const variable_list saved = ctx->get_saved_variables();
    return {op.call(grads[0], saved[0], saved[1]), {}};
  }
};

at::Tensor mse_forward_autograd(const at::Tensor& prediction, const at::Tensor& target) {
  return detail::needs_gradient({prediction}) ? MseFunction::apply(prediction, target)
                                              : mse_redispatch_forward(prediction, target);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("mse(Tensor prediction, Tensor target) -> Tensor");
  m.def("mse_backward(Tensor grad, Tensor prediction, Tensor target) -> Tensor");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("mse", TORCH_FN(mse_forward_cpu));
  m.impl("mse_backward", TORCH_FN(mse_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("mse", TORCH_FN(mse_forward_autograd));
  m.impl("mse_backward", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

at::Tensor mse(const at::Tensor& prediction, const at::Tensor& target) {
  TITAN_CHECK(prediction.dim() > 0 && prediction.sizes() == target.sizes(),
              "[mse] prediction and target must have one shape [B, ...] (prediction=",
              prediction.sizes(), ", target=", target.sizes(), ")");
  if (!use_fused(prediction, kMse) || detail::needs_gradient({target}))
    return reference::mse(prediction, target);
  static const auto op = detail::find_op<decltype(mse_forward_cpu)>(kMse);
  return op.call(prediction, target);
}

}  // namespace titan::ops
