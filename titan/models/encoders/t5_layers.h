// t5_layers.h: what a T5 encoder is made of. Private to this folder and tests.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/encoders/t5_config.h"
#include "titan/models/layers/linear.h"

namespace titan::models {

/// Buckets of the distances key - query = -(length - 1) ... length - 1: [2 length - 1] int64 on the
/// CPU. Half of the buckets are for keys behind the query; of each half, the first half are single
/// distances and the rest grow logarithmically up to max_distance (arXiv:1910.10683, section 2.1).
at::Tensor t5_distance_buckets(int64_t length, int64_t num_buckets, int64_t max_distance);

/// "weight": x / rms(x) * weight, without a mean or a bias.
class T5Norm : public torch::nn::Module {
 public:
  T5Norm(int64_t dim, double eps, const at::TensorOptions& options);
  /// [B, L, D].
  at::Tensor forward(const at::Tensor& x) const;
  /// Adds `branch` to x in place and returns the norm of the sum.
  at::Tensor add_and_norm(at::Tensor& x, const at::Tensor& branch) const;

 private:
  double eps_;
  at::Tensor weight_;
};

/// "q", "k", "v", "o", and in the first block "relative_attention_bias.weight".
class T5Attention : public torch::nn::Module {
 public:
  T5Attention(const T5Config& config, bool has_bias, const at::TensorOptions& options);
  /// x [B, L, d_model], bias [1, heads, L, L], to [B, L, d_model]. Every position sees every other.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& bias) const;
  /// Spreads the learned bias of each bucket over queries and keys: [1, heads, L, L].
  /// `distance_buckets`: of t5_distance_buckets, on the device of the weights.
  at::Tensor position_bias(const at::Tensor& distance_buckets) const;

 private:
  int64_t heads_;
  std::shared_ptr<Linear> q_, k_, v_, o_;
  at::Tensor bias_weight_;  ///< [buckets, heads]
};

/// "wi_0", "wi_1", "wo": wo(gelu(wi_0 x) * wi_1 x), GELU in its tanh form.
class T5FeedForward : public torch::nn::Module {
 public:
  T5FeedForward(const T5Config& config, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<Linear> wi_0_, wi_1_, wo_;
};

/// "layer.0" (attention) and "layer.1" (feed-forward), each behind its norm, each added to x.
class T5Block : public torch::nn::Module {
 public:
  T5Block(const T5Config& config, bool has_bias, const at::TensorOptions& options);
  /// Changes x [B, L, d_model] in place.
  void forward_(at::Tensor& x, const at::Tensor& bias) const;
  const T5Attention& attention() const { return *attention_; }

 private:
  std::shared_ptr<T5Attention> attention_;
  std::shared_ptr<T5FeedForward> feed_forward_;
  std::shared_ptr<T5Norm> attention_norm_, feed_forward_norm_;
};

}  // namespace titan::models
