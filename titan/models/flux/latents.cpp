#include "titan/models/flux/latents.h"

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/models/flux/config.h"

namespace titan::models {
namespace {
constexpr int64_t kPatch = FluxConfig::kPatch;
}

at::Tensor pack_latents(const at::Tensor& latents) {
  TITAN_CHECK(latents.dim() == 4 && latents.size(2) % kPatch == 0 && latents.size(3) % kPatch == 0,
              "[flux] latents must be [B, C, H, W] with even H and W (latents=", latents.sizes(),
              ")");
  const int64_t batch = latents.size(0), channels = latents.size(1);
  const int64_t rows = latents.size(2) / kPatch, columns = latents.size(3) / kPatch;
  return latents.reshape({batch, channels, rows, kPatch, columns, kPatch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({batch, rows * columns, channels * kPatch * kPatch});
}

at::Tensor unpack_latents(const at::Tensor& tokens, int64_t rows, int64_t columns) {
  TITAN_CHECK(tokens.dim() == 3 && tokens.size(1) == rows * columns &&
                  tokens.size(2) % (kPatch * kPatch) == 0,
              "[flux] tokens do not fill the grid (tokens=", tokens.sizes(), ", rows=", rows,
              ", columns=", columns, ")");
  const int64_t batch = tokens.size(0), channels = tokens.size(2) / (kPatch * kPatch);
  return tokens.reshape({batch, rows, columns, channels, kPatch, kPatch})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({batch, channels, rows * kPatch, columns * kPatch});
}

at::Tensor image_positions(int64_t rows, int64_t columns) {
  const at::Tensor token = at::arange(rows * columns, at::kLong);
  return at::stack({at::zeros_like(token), token.div(columns, /*rounding_mode=*/"floor"),
                    token.remainder(columns)},
                   1)
      .to(at::kFloat);
}

at::Tensor joint_positions(int64_t text_tokens, int64_t rows, int64_t columns) {
  const at::Tensor image = image_positions(rows, columns);
  return at::cat({at::zeros({text_tokens, image.size(1)}, image.options()), image}, 0);
}

}  // namespace titan::models
