#include "titan/models/dit/flops.h"

#include "titan/models/layers/embeddings.h"

namespace titan::models {

DitFlops dit_flops(const DitConfig& c, int64_t height, int64_t width) {
  const int64_t d = c.dim;
  const int64_t patches = (height / c.patch_size) * (width / c.patch_size);
  const int64_t tokens = patches + (c.adaln() ? 0 : 2);
  const int64_t patch = c.in_channels * c.patch_size * c.patch_size;
  const int64_t projections = 2 * d * d + 2 * d * c.kv_heads() * c.head_dim();
  DitFlops flops;
  flops.block_linears = 2 * tokens * c.n_layers * (projections + 3 * d * c.ffn_hidden());
  flops.patch_embedding = 2 * patches * patch * d;
  flops.output = 2 * tokens * patch * d;
  flops.adaln = c.adaln() ? 2 * 6 * c.n_layers * d * d : 0;
  flops.time_mlp = 2 * (TimeEmbedding::kWidth * d + d * d);
  flops.attention = 4 * c.n_layers * d * tokens * tokens;
  return flops;
}

ModelFlops model_flops(const DitFlops& flops) {
  return {.forward = flops.forward(), .train = 3 * flops.forward()};
}

}  // namespace titan::models
