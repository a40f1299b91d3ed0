#include "titan/ops/float8_input.h"

#include <limits>

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "titan/ops/dispatch.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Float8InputFunction : public torch::autograd::Function<Float8InputFunction> {
 public:
  static at::Tensor forward(AutogradContext*, const at::Tensor& x) {
    return detail::float8_placeholder(x.sizes(), x.options());
  }
  static variable_list backward(AutogradContext*, variable_list grads) { return grads; }
};

}  // namespace

at::Tensor detail::float8_placeholder(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const at::AutoDispatchBelowADInplaceOrView no_view_of_autograd;
  return at::full({}, std::numeric_limits<double>::quiet_NaN(), options).expand(sizes);
}

bool detail::float8_by_column(const Float8Rounding& rounding) {
  return rounding.by_column && c10::GradMode::is_enabled();
}

Float8Input float8_input(const at::Tensor& x, const Float8Rounding& rounding) {
  if (x.numel() == 0) return {.values = x, .copies = {}, .rowwise = rounding.rowwise};
  Float8Input input{.values = {}, .copies = {}, .rowwise = rounding.rowwise};
  {
    const bool by_column = detail::float8_by_column(rounding);
    const at::NoGradGuard no_grad;
    input.copies = float8_quantize(x.reshape({-1, x.size(-1)}), at::kFloat8_e4m3fn,
                                   rounding.rowwise, {.by_row = true, .by_column = by_column});
  }
  input.values = detail::needs_gradient({x}) ? Float8InputFunction::apply(x)
                                             : detail::float8_placeholder(x.sizes(), x.options());
  return input;
}

}  // namespace titan::ops
