#include "titan/models/encoders/t5_layers.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "titan/models/encoders/network_units.h"
#include "titan/ops/gelu.h"
#include "titan/ops/modulate_norm.h"

namespace titan::models {
namespace {

std::shared_ptr<Linear> add_linear(torch::nn::Module& parent, const char* name, int64_t in,
                                   int64_t out, const at::TensorOptions& options) {
  return parent.register_module(name,
                                std::make_shared<Linear>(in, out, Linear::Bias::kNo, options));
}

}  // namespace

at::Tensor t5_distance_buckets(int64_t length, int64_t num_buckets, int64_t max_distance) {
  const int64_t half = num_buckets / 2, exact = half / 2;
  const at::Tensor distance = at::arange(1 - length, length, at::kLong);
  const at::Tensor size = distance.abs();
  // In float32 like the reference: at powers of two the logarithm's rounding decides the bucket.
  const double scale = std::log(static_cast<double>(max_distance) / static_cast<double>(exact));
  const at::Tensor steps = at::log(size.clamp_min(exact).to(at::kFloat) / exact) / scale;
  const at::Tensor coarse = (steps * (half - exact)).to(at::kLong) + exact;
  const at::Tensor bucket = at::where(size < exact, size, coarse.clamp_max(half - 1));
  return bucket + (distance > 0).to(at::kLong) * half;
}

T5Norm::T5Norm(int64_t dim, double eps, const at::TensorOptions& options) : eps_(eps) {
  weight_ = register_parameter("weight", at::empty({dim}, options));
}

at::Tensor T5Norm::forward(const at::Tensor& x) const {
  // The reference rounds twice in bfloat16: before the weight and after.
  return ops::modulate_norm(x, {.rms = true, .eps = eps_}).mul_(weight_);
}

at::Tensor T5Norm::add_and_norm(at::Tensor& x, const at::Tensor& branch) const {
  auto [sum, normed] =
      ops::residual_modulate_norm(x, branch, /*gate=*/{}, {.rms = true, .eps = eps_});
  x = std::move(sum);
  return normed.mul_(weight_);
}

T5Attention::T5Attention(const T5Config& config, bool has_bias, const at::TensorOptions& options)
    : heads_(config.heads) {
  const int64_t inner = config.heads * config.d_kv;
  q_ = add_linear(*this, "q", config.d_model, inner, options);
  k_ = add_linear(*this, "k", config.d_model, inner, options);
  v_ = add_linear(*this, "v", config.d_model, inner, options);
  o_ = add_linear(*this, "o", inner, config.d_model, options);
  if (!has_bias) return;
  bias_weight_ = add_container(*this, "relative_attention_bias")
                     ->register_parameter(
                         "weight", at::empty({config.relative_buckets, config.heads}, options));
}

at::Tensor T5Attention::forward(const at::Tensor& x, const at::Tensor& bias) const {
  const auto by_head = [&](const Linear& linear) {
    return linear.forward(x).unflatten(-1, {heads_, -1}).transpose(1, 2);
  };
  // T5 does not scale the scores: its initialisation does.
  const at::Tensor out = at::scaled_dot_product_attention(
      by_head(*q_), by_head(*k_), by_head(*v_), bias, /*dropout_p=*/0.0, /*is_causal=*/false,
      /*scale=*/1.0);
  return o_->forward(out.transpose(1, 2).flatten(2));
}

at::Tensor T5Attention::position_bias(const at::Tensor& distance_buckets) const {
  const int64_t length = (distance_buckets.size(0) + 1) / 2;
  const at::Tensor by_distance = bias_weight_.index_select(0, distance_buckets).t().contiguous();
  // Window r of the distances is the row of query length - 1 - r.
  return by_distance.unfold(1, length, 1).flip({1}).unsqueeze(0);
}

T5FeedForward::T5FeedForward(const T5Config& config, const at::TensorOptions& options) {
  wi_0_ = add_linear(*this, "wi_0", config.d_model, config.d_ff, options);
  wi_1_ = add_linear(*this, "wi_1", config.d_model, config.d_ff, options);
  wo_ = add_linear(*this, "wo", config.d_ff, config.d_model, options);
}

at::Tensor T5FeedForward::forward(const at::Tensor& x) const {
  return wo_->forward(ops::gelu(wi_0_->forward(x)).mul_(wi_1_->forward(x)));
}

T5Block::T5Block(const T5Config& config, bool has_bias, const at::TensorOptions& options) {
  const auto layer = add_container(*this, "layer");
  const auto first = add_container(*layer, "0"), second = add_container(*layer, "1");
  const auto add_norm = [&](Container& parent) {
    return parent.register_module("layer_norm",
                                  std::make_shared<T5Norm>(config.d_model, config.eps, options));
  };
  attention_ = first->register_module("SelfAttention",
                                      std::make_shared<T5Attention>(config, has_bias, options));
  attention_norm_ = add_norm(*first);
  feed_forward_ =
      second->register_module("DenseReluDense", std::make_shared<T5FeedForward>(config, options));
  feed_forward_norm_ = add_norm(*second);
}

void T5Block::forward_(at::Tensor& x, const at::Tensor& bias) const {
  const at::Tensor attended = attention_->forward(attention_norm_->forward(x), bias);
  const at::Tensor normed = feed_forward_norm_->add_and_norm(x, attended);
  x.add_(feed_forward_->forward(normed));
}

}  // namespace titan::models
