// small_models.h: a small DiT and a small Flux, with inputs. Include tests/support/catch.h first.
#pragma once

#include <memory>

#include "titan/models/dit/model.h"
#include "titan/models/flux/model.h"

#include "tests/support/recompute_modes.h"

namespace titan::testing {

inline models::DitConfig small_dit(int64_t layers = 4) {
  models::DitConfig config;
  config.dim = 32;
  config.n_layers = layers;
  config.n_heads = 2;
  config.multiple_of = 16;
  config.in_channels = 3;
  config.num_classes = 5;
  return config;
}
/// 8 x 4 pixels: 8 tokens.
inline TrainingInputs dit_inputs(int64_t batch) {
  TrainingInputs inputs{at::randn({batch, 3, 8, 4}), at::rand({batch}), {}};
  inputs.condition.set("label", at::arange(batch, at::kLong).remainder(6));
  return inputs;
}

inline models::FluxConfig small_flux(int64_t doubles = 2, int64_t singles = 2) {
  models::FluxConfig config;
  config.in_channels = 16;
  config.vec_in_dim = 12;
  config.context_in_dim = 24;
  config.hidden_size = 64;
  config.num_heads = 2;
  config.depth = doubles;
  config.depth_single_blocks = singles;
  config.axes_dim = {8, 12, 12};
  return config;
}
/// 4 x 6 latents: 6 tokens, and as many of text.
inline TrainingInputs flux_inputs(const models::FluxConfig& config, int64_t batch) {
  TrainingInputs inputs{at::randn({batch, config.latent_channels(), 4, 6}), at::rand({batch}), {}};
  inputs.condition.set("txt", at::randn({batch, 6, config.context_in_dim}));
  inputs.condition.set("y", at::randn({batch, config.vec_in_dim}));
  if (config.guidance_embed) inputs.condition.set("guidance", at::rand({batch}) * 4);
  return inputs;
}

}  // namespace titan::testing
