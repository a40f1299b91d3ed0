#include "titan/models/layers/linear.h"

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>

#include "titan/models/layers/float8_layer.h"
#include "titan/ops/kept.h"

namespace titan::models {
namespace {

/// The products that LibTorch's own derivative of at::linear makes, in its order and layout.
ops::TensorList derivative(const ops::KeptCall& call) {
  const at::Tensor &x = call.inputs[0], &weight = call.inputs[1], &bias = call.inputs[2];
  const at::Tensor grad = call.grad.reshape({-1, weight.size(0)});
  ops::TensorList gradients(3);
  if (call.wanted[0]) gradients[0] = grad.mm(weight).view(x.sizes());
  if (call.wanted[1]) gradients[1] = grad.t().mm(x.reshape({-1, weight.size(1)}));
  if (call.wanted[2]) gradients[2] = at::sum_to(grad, bias.sizes());
  return gradients;
}
constexpr ops::Keepable kKeepable{
    .tag = ops::kMatmulTag, .num_results = 1, .derivative = derivative};

}  // namespace

Linear::Linear(int64_t in_features, int64_t out_features, Bias with_bias,
               const at::TensorOptions& options) {
  weight = register_parameter("weight", at::empty({out_features, in_features}, options));
  if (with_bias == Bias::kYes)
    bias = register_parameter("bias", at::empty({out_features}, options));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  if (float8) return float8_forward(*float8, x, weight, bias);
  return ops::kept(
      kKeepable, [&] { return at::linear(x, weight, bias); }, x, weight, bias);
}

}  // namespace titan::models
