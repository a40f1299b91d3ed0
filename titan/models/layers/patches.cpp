#include "titan/models/layers/patches.h"

#include <ATen/ATen.h>

#include "titan/base/check.h"

namespace titan::models {

PatchProjection::PatchProjection(int64_t channels, int64_t dim, int64_t patch,
                                 const at::TensorOptions& options)
    : patch_(patch) {
  weight_ = register_parameter("weight", at::empty({dim, channels, patch, patch}, options));
  bias_ = register_parameter("bias", at::empty({dim}, options));
}

at::Tensor PatchProjection::forward(const at::Tensor& x) const {
  TITAN_CHECK(x.dim() == 4 && x.size(1) == weight_.size(1) && x.size(2) % patch_ == 0 &&
                  x.size(3) % patch_ == 0,
              "[model] the input must be [B, C, H, W] with C as the model and H, W divisible by "
              "the patch (input=",
              x.sizes(), ", channels=", weight_.size(1), ", patch_size=", patch_, ")");
  const int64_t rows = x.size(2) / patch_, columns = x.size(3) / patch_;
  // The patches do not overlap, so the convolution is one matrix product.
  const at::Tensor patches = x.view({x.size(0), x.size(1), rows, patch_, columns, patch_})
                                 .permute({0, 2, 4, 1, 3, 5})
                                 .reshape({x.size(0), rows * columns, x.size(1) * patch_ * patch_});
  return at::linear(patches, weight_.flatten(1), bias_);
}

PatchEmbedding::PatchEmbedding(int64_t channels, int64_t dim, int64_t patch,
                               const at::TensorOptions& options) {
  proj_ = register_module("proj", std::make_shared<PatchProjection>(channels, dim, patch, options));
}

at::Tensor unpatchify(const at::Tensor& tokens, int64_t rows, int64_t columns, int64_t patch) {
  TITAN_CHECK(tokens.dim() == 3 && tokens.size(1) == rows * columns &&
                  tokens.size(2) % (patch * patch) == 0,
              "[model] tokens do not fill the grid (tokens=", tokens.sizes(), ", rows=", rows,
              ", columns=", columns, ")");
  const int64_t channels = tokens.size(2) / (patch * patch);
  return tokens.reshape({tokens.size(0), rows, columns, patch, patch, channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({tokens.size(0), channels, rows * patch, columns * patch});
}

}  // namespace titan::models
