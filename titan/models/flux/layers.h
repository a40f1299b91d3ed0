// layers.h: the parts that the blocks of Flux are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/flux/config.h"
#include "titan/models/layers/layer_inputs.h"
#include "titan/models/layers/linear.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/stream_attention.h"
#include "titan/protocols/block.h"

namespace titan::models {

/// "in_layer", "out_layer": out_layer(silu(in_layer(x))).
class MlpEmbedder : public torch::nn::Module {
 public:
  MlpEmbedder(int64_t in, int64_t hidden, const at::TensorOptions& options);
  /// [..., in] to [..., hidden]; x is brought to the parameters' dtype.
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<Linear> in_layer_, out_layer_;
};

/// Sinusoid of 1000 * t for t [B], [B, width] float32, whatever the dtype of the model.
at::Tensor timestep_embedding(const at::Tensor& t, int64_t width);

/// Shift, scale and gate of one residual branch, each [B, D].
struct BranchModulation {
  at::Tensor shift, scale, gate;
  ops::Modulation norm() const { return {.scale = scale, .shift = shift}; }
};

/// "lin": `branches` x (shift, scale, gate) as one linear map of silu(vec).
class FluxModulation : public torch::nn::Module {
 public:
  FluxModulation(int64_t hidden, int64_t branches, const at::TensorOptions& options);
  /// vec [B, D].
  std::vector<BranchModulation> forward(const at::Tensor& vec) const;

 private:
  int64_t branches_;
  std::shared_ptr<Linear> lin_;
};

/// "query_norm.scale", "key_norm.scale" [head_dim].
class QkNorm : public torch::nn::Module {
 public:
  QkNorm(int64_t head_dim, const at::TensorOptions& options);
  at::Tensor query_scale, key_scale;
};

/// "qkv", "norm", "proj": what one stream brings to the joint attention.
class StreamProjections : public torch::nn::Module {
 public:
  StreamProjections(const FluxConfig& config, const at::TensorOptions& options);
  ops::StreamQkv qkv(const LinearInput& x) const;
  Readers readers() const { return {qkv_.get()}; }  ///< of x
  at::Tensor output(const at::Tensor& attended) const { return proj_->forward(attended); }

 private:
  std::shared_ptr<Linear> qkv_, proj_;
  std::shared_ptr<QkNorm> norm_;
};

/// "0", "2": linear, GELU (tanh form), linear.
class GeluMlp : public torch::nn::Module {
 public:
  GeluMlp(int64_t dim, int64_t hidden, const at::TensorOptions& options);
  at::Tensor forward(const LinearInput& x) const;
  Readers readers() const { return {first_.get()}; }  ///< of x

 private:
  std::shared_ptr<Linear> first_, second_;
};

/// The layer norm of all blocks: no parameters of its own.
inline ops::Norm layer_norm(double eps) {
  return {.rms = false, .eps = eps, .weight = {}, .bias = {}};
}

/// Closes `open`, if it is: x + gate * branch.
at::Tensor closed(const at::Tensor& x, const Residual& open);

}  // namespace titan::models
