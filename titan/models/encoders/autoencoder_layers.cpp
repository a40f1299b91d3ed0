#include "titan/models/encoders/autoencoder_layers.h"

#include <ATen/ATen.h>

namespace titan::models {

constexpr double kEps = 1e-6;  // of every norm

Conv2d::Conv2d(int64_t in, int64_t out, int64_t side, const at::TensorOptions& options) {
  weight_ = register_parameter("weight", at::empty({out, in, side, side}, options));
  bias_ = register_parameter("bias", at::empty({out}, options));
}

at::Tensor Conv2d::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight_, bias_, /*stride=*/1, /*padding=*/weight_.size(2) / 2);
}

at::Tensor Conv2d::forward_halved(const at::Tensor& x) const {
  return at::conv2d(x, weight_, bias_, /*stride=*/2);
}

at::Tensor Conv2d::forward_tokens(const at::Tensor& tokens) const {
  return at::linear(tokens, weight_.flatten(1), bias_);
}

GroupNorm::GroupNorm(int64_t channels, int64_t groups, const at::TensorOptions& options)
    : groups_(groups) {
  weight_ = register_parameter("weight", at::empty({channels}, options));
  bias_ = register_parameter("bias", at::empty({channels}, options));
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, groups_, weight_, bias_, kEps);
}

at::Tensor GroupNorm::forward_swish(const at::Tensor& x) const {
  at::Tensor normed = forward(x);
  return at::silu_(normed);
}

ResnetBlock::ResnetBlock(int64_t in, int64_t out, int64_t groups,
                         const at::TensorOptions& options) {
  norm1_ = register_module("norm1", std::make_shared<GroupNorm>(in, groups, options));
  conv1_ = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, options));
  norm2_ = register_module("norm2", std::make_shared<GroupNorm>(out, groups, options));
  conv2_ = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, options));
  if (in != out)
    shortcut_ = register_module("nin_shortcut", std::make_shared<Conv2d>(in, out, 1, options));
}

at::Tensor ResnetBlock::forward(const at::Tensor& x) const {
  const at::Tensor inner = conv1_->forward(norm1_->forward_swish(x));
  at::Tensor out = conv2_->forward(norm2_->forward_swish(inner));
  return out.add_(shortcut_ ? shortcut_->forward(x) : x);
}

PixelAttention::PixelAttention(int64_t channels, int64_t groups, const at::TensorOptions& options) {
  norm_ = register_module("norm", std::make_shared<GroupNorm>(channels, groups, options));
  const auto projection = [&](const char* name) {
    return register_module(name, std::make_shared<Conv2d>(channels, channels, 1, options));
  };
  q_ = projection("q");
  k_ = projection("k");
  v_ = projection("v");
  out_ = projection("proj_out");
}

at::Tensor PixelAttention::forward(const at::Tensor& x) const {
  const at::Tensor tokens = norm_->forward(x).permute({0, 2, 3, 1}).flatten(1, 2);  // [B, H W, C]
  const auto one_head = [&](const Conv2d& conv) {
    return conv.forward_tokens(tokens).unsqueeze(1);
  };
  const at::Tensor mixed =
      at::scaled_dot_product_attention(one_head(*q_), one_head(*k_), one_head(*v_)).squeeze(1);
  const at::Tensor out = out_->forward_tokens(mixed);
  return out.unflatten(1, {x.size(2), x.size(3)}).permute({0, 3, 1, 2}).add_(x);
}

MiddleBlock::MiddleBlock(int64_t channels, int64_t groups, const at::TensorOptions& options) {
  const auto block = [&] {
    return std::make_shared<ResnetBlock>(channels, channels, groups, options);
  };
  first_ = register_module("block_1", block());
  attention_ =
      register_module("attn_1", std::make_shared<PixelAttention>(channels, groups, options));
  second_ = register_module("block_2", block());
}

at::Tensor MiddleBlock::forward(const at::Tensor& x) const {
  return second_->forward(attention_->forward(first_->forward(x)));
}

}  // namespace titan::models
