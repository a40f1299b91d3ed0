// clip_text_layers.h: what CLIP's text encoder is made of. Private to this folder.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/encoders/clip_text_config.h"
#include "titan/models/layers/linear.h"
#include "titan/ops/modulate_norm.h"

namespace titan::models {

/// "weight", "bias": LayerNorm.
class AffineNorm : public torch::nn::Module {
 public:
  AffineNorm(int64_t dim, double eps, const at::TensorOptions& options);
  ops::Norm norm() const { return {.rms = false, .eps = eps_, .weight = weight_, .bias = bias_}; }
  /// [B, L, D].
  at::Tensor forward(const at::Tensor& x) const { return ops::modulate_norm(x, norm()); }

 private:
  double eps_;
  at::Tensor weight_, bias_;
};

/// "self_attn", "layer_norm1", "mlp", "layer_norm2".
class ClipTextLayer : public torch::nn::Module {
 public:
  ClipTextLayer(const ClipTextConfig& config, const at::TensorOptions& options);
  /// x [B, L, width] to the same; a position sees itself and those before it.
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor attend(const at::Tensor& x) const;
  at::Tensor feed_forward(const at::Tensor& x) const;

  int64_t heads_;
  ClipTextConfig::Activation activation_;
  std::shared_ptr<Linear> q_, k_, v_, out_, fc1_, fc2_;
  std::shared_ptr<AffineNorm> norm1_, norm2_;
};

}  // namespace titan::models
