#include "titan/models/flux/flops.h"

namespace titan::models {
namespace {

int64_t linear(int64_t in, int64_t out) { return 2 * in * out; }

}  // namespace

FluxFlops flux_flops(const FluxConfig& c, int64_t image_tokens, int64_t text_tokens) {
  const int64_t h = c.hidden_size, mlp = c.mlp_hidden(), tokens = image_tokens + text_tokens;
  // qkv, proj and the feed-forward layer; both kinds of block have the same maps per token.
  const int64_t block = linear(h, 3 * h) + linear(h, h) + linear(h, mlp) + linear(mlp, h);
  FluxFlops flops;
  flops.double_linears = c.depth * block * tokens;
  flops.single_linears = c.depth_single_blocks * block * tokens;
  flops.attention = (c.depth + c.depth_single_blocks) * 4 * tokens * tokens * h;
  flops.modulation = c.depth * 2 * linear(h, 6 * h) + c.depth_single_blocks * linear(h, 3 * h);
  flops.embedders =
      (c.guidance_embed ? 2 : 1) * (linear(FluxConfig::kTimeWidth, h) + linear(h, h)) +
      linear(c.vec_in_dim, h) + linear(h, h);
  flops.token_inputs =
      linear(c.in_channels, h) * image_tokens + linear(c.context_in_dim, h) * text_tokens;
  flops.output = linear(h, 2 * h) + linear(h, c.outputs()) * image_tokens;
  return flops;
}

int64_t flux_train_flops_executed(const FluxConfig& c, int64_t image_tokens, int64_t text_tokens) {
  const FluxFlops flops = flux_flops(c, image_tokens, text_tokens);
  const int64_t h = c.hidden_size;
  const int64_t unneeded = flops.token_inputs + linear(c.vec_in_dim, h) +
                           (c.guidance_embed ? 2 : 1) * linear(FluxConfig::kTimeWidth, h);
  return 3 * flops.forward() - unneeded;
}

}  // namespace titan::models
