// feed_forward.h: the SwiGLU feed-forward layer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/layers/linear.h"

namespace titan::models {

/// Width of a SwiGLU layer: 2/3 of 4 * dim, times `multiplier`, rounded up to a multiple of
/// `multiple_of`.
int64_t swiglu_hidden(int64_t dim, int64_t multiple_of, std::optional<double> multiplier);

/// w2(silu(w1 x) * w3 x), no biases; parameters "w1", "w2", "w3".
class FeedForward : public torch::nn::Module {
 public:
  /// Allocates the parameters.
  FeedForward(int64_t dim, int64_t hidden, const at::TensorOptions& options);
  at::Tensor forward(const LinearInput& x) const;  ///< [..., dim] to [..., dim]
  /// The layers that read x.
  std::vector<const Linear*> readers() const { return {w1_.get(), w3_.get()}; }

 private:
  std::shared_ptr<Linear> w1_, w2_, w3_;
};

}  // namespace titan::models
