// head.h: the last layer of Flux.
#pragma once

#include <memory>

#include "titan/models/flux/config.h"
#include "titan/models/flux/layers.h"

namespace titan::models {

/// Parameters "adaLN_modulation.1" (shift, then scale, of silu(vec)) and "linear":
/// linear(norm(x) * (1 + scale) + shift).
class LastLayer : public torch::nn::Module {
 public:
  LastLayer(int64_t hidden, int64_t outputs, double norm_eps, const at::TensorOptions& options);
  /// x [B, N, D] with its residual, which may be open; vec [B, D]; to [B, N, outputs].
  at::Tensor forward(at::Tensor x, Residual open, const at::Tensor& vec) const;

 private:
  double norm_eps_;
  std::shared_ptr<Linear> modulation_, linear_;
};

}  // namespace titan::models
