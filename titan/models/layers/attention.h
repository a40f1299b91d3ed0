// attention.h: self-attention with rotary positions.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/layers/linear.h"

namespace titan::models {

/// Parameters "wq", "wk", "wv", "wo" (no biases); not causal. Fewer key/value heads than heads =
/// grouped-query attention.
class SelfAttention : public torch::nn::Module {
 public:
  /// Allocates the parameters.
  SelfAttention(int64_t dim, int64_t heads, int64_t kv_heads, const at::TensorOptions& options);
  /// x [B, N, D], rope [N, D_head / 2, 2] float32, to [B, N, D].
  at::Tensor forward(const LinearInput& x, const at::Tensor& rope) const;
  /// The layers that read x.
  std::vector<const Linear*> readers() const { return {wq_.get(), wk_.get(), wv_.get()}; }

 private:
  int64_t head_dim_;
  std::shared_ptr<Linear> wq_, wk_, wv_, wo_;
};

}  // namespace titan::models
