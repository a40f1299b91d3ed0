#include "titan/models/encoders/clip_text_layers.h"

#include <ATen/ATen.h>

#include "titan/models/encoders/network_units.h"

namespace titan::models {

AffineNorm::AffineNorm(int64_t dim, double eps, const at::TensorOptions& options) : eps_(eps) {
  weight_ = register_parameter("weight", at::empty({dim}, options));
  bias_ = register_parameter("bias", at::empty({dim}, options));
}

ClipTextLayer::ClipTextLayer(const ClipTextConfig& config, const at::TensorOptions& options)
    : heads_(config.heads), activation_(config.activation) {
  const auto linear = [&](int64_t in, int64_t out) {
    return std::make_shared<Linear>(in, out, Linear::Bias::kYes, options);
  };
  const int64_t width = config.width;
  const auto attention = add_container(*this, "self_attn");
  q_ = attention->register_module("q_proj", linear(width, width));
  k_ = attention->register_module("k_proj", linear(width, width));
  v_ = attention->register_module("v_proj", linear(width, width));
  out_ = attention->register_module("out_proj", linear(width, width));
  norm1_ = register_module("layer_norm1", std::make_shared<AffineNorm>(width, config.eps, options));
  const auto mlp = add_container(*this, "mlp");
  fc1_ = mlp->register_module("fc1", linear(width, config.mlp));
  fc2_ = mlp->register_module("fc2", linear(config.mlp, width));
  norm2_ = register_module("layer_norm2", std::make_shared<AffineNorm>(width, config.eps, options));
}

at::Tensor ClipTextLayer::attend(const at::Tensor& x) const {
  const auto by_head = [&](const Linear& linear) {
    return linear.forward(x).unflatten(-1, {heads_, -1}).transpose(1, 2);
  };
  const at::Tensor out =
      at::scaled_dot_product_attention(by_head(*q_), by_head(*k_), by_head(*v_), /*attn_mask=*/{},
                                       /*dropout_p=*/0.0, /*is_causal=*/true);
  return out_->forward(out.transpose(1, 2).flatten(2));
}

at::Tensor ClipTextLayer::feed_forward(const at::Tensor& x) const {
  at::Tensor inner = fc1_->forward(x);
  if (activation_ == ClipTextConfig::Activation::kGelu) {
    inner = at::gelu(inner);
  } else {
    inner.mul_((inner * 1.702).sigmoid_());
  }
  return fc2_->forward(inner);
}

at::Tensor ClipTextLayer::forward(const at::Tensor& x) const {
  auto [sum, normed] =
      ops::residual_modulate_norm(x, attend(norm1_->forward(x)), /*gate=*/{}, norm2_->norm());
  return sum.add_(feed_forward(normed));
}

}  // namespace titan::models
