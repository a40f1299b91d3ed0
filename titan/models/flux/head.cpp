#include "titan/models/flux/head.h"

#include <vector>

#include <ATen/ATen.h>

namespace titan::models {

LastLayer::LastLayer(int64_t hidden, int64_t outputs, double norm_eps,
                     const at::TensorOptions& options)
    : norm_eps_(norm_eps) {
  linear_ = register_module("linear",
                            std::make_shared<Linear>(hidden, outputs, Linear::Bias::kYes, options));
  const auto holder = register_module("adaLN_modulation", std::make_shared<Container>());
  modulation_ = holder->register_module(
      "1", std::make_shared<Linear>(hidden, 2 * hidden, Linear::Bias::kYes, options));
}

at::Tensor LastLayer::forward(at::Tensor x, Residual open, const at::Tensor& vec) const {
  const std::vector<at::Tensor> part =
      modulation_->forward(at::silu(vec)).unflatten(1, {2, -1}).unbind(1);
  return linear_->forward(normed_for({linear_.get()}, x, open, layer_norm(norm_eps_),
                                     {.scale = part[1], .shift = part[0]}));
}

}  // namespace titan::models
