#include "titan/ops/gradient_layout.h"

#include <vector>

#include <ATen/ops/empty_strided.h>
#include <torch/csrc/autograd/custom_function.h>

#include "titan/ops/dispatch.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class KeepGradientLayout : public torch::autograd::Function<KeepGradientLayout> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->saved_data["strides"] = x.strides().vec();
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor& grad = grads[0];
    const std::vector<int64_t> strides = ctx->saved_data["strides"].toIntVector();
    if (!grad.defined() || grad.strides() == at::IntArrayRef(strides)) return {grad};
    return {at::empty_strided(grad.sizes(), strides, grad.options()).copy_(grad)};
  }
};

}  // namespace

at::Tensor keep_gradient_layout(const at::Tensor& x) {
  return detail::needs_gradient({x}) ? KeepGradientLayout::apply(x) : x;
}

}  // namespace titan::ops
