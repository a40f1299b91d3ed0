// flux: the rectified-flow transformer FLUX.1 of Black Forest Labs: blocks with separate weights
// for image and text over one joint attention (MMDiT; Esser et al. 2024, arXiv:2403.03206), then
// blocks over the joined tokens with attention and feed-forward side by side (Dehghani et al. 2023,
// arXiv:2302.05442). Parameter names and shapes are those of the published checkpoints.
//
// config.h: its settings, [model.args].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/fields.h"

namespace titan::models {

/// Machine epsilon of float32: what PyTorch's RMSNorm takes where no eps is given, as in the
/// benchmark's reference.
inline constexpr double kFloatEpsilon = 1.1920928955078125e-07;

struct FluxConfig {
  static constexpr int64_t kPatch = 2;        ///< side of a patch of latents
  static constexpr int64_t kTimeWidth = 256;  ///< width of the timestep's sinusoid

  int64_t in_channels = 64;
  int64_t out_channels = 0;
  int64_t vec_in_dim = 768;
  int64_t context_in_dim = 4096;
  int64_t hidden_size = 3072;
  double mlp_ratio = 4.0;
  int64_t num_heads = 24;
  int64_t depth = 19;
  int64_t depth_single_blocks = 38;
  std::vector<int64_t> axes_dim = {16, 56, 56};
  double theta = 10000;
  bool qkv_bias = true;
  bool guidance_embed = false;
  double norm_eps = 1e-6;
  double qk_norm_eps = kFloatEpsilon;

  int64_t head_dim() const { return hidden_size / num_heads; }
  int64_t mlp_hidden() const {
    return static_cast<int64_t>(static_cast<double>(hidden_size) * mlp_ratio);
  }
  int64_t outputs() const { return out_channels == 0 ? in_channels : out_channels; }
  int64_t latent_channels() const { return in_channels / (kPatch * kPatch); }
};

template <class V>
void visit_fields(FluxConfig& c, V&& v) {
  v("in_channels", c.in_channels,
    "width of an image token: latent channels x 2 x 2; must fit the data", rule::at_least(4));
  v("out_channels", c.out_channels, "width of an output token; 0 = in_channels", rule::at_least(0));
  v("vec_in_dim", c.vec_in_dim,
    "width of the pooled text encoding (CLIP); encoder.vec_in_dim where it is not set here",
    rule::at_least(1));
  v("context_in_dim", c.context_in_dim,
    "width of the text tokens' encoding (T5); encoder.context_in_dim where it is not set here",
    rule::at_least(1));
  v("hidden_size", c.hidden_size, "width", rule::at_least(1));
  v("mlp_ratio", c.mlp_ratio, "width of the feed-forward layers over hidden_size", rule::above(0));
  v("num_heads", c.num_heads, "attention heads; must divide hidden_size", rule::at_least(1));
  v("depth", c.depth, "number of double-stream blocks", rule::at_least(0));
  v("depth_single_blocks", c.depth_single_blocks, "number of single-stream blocks",
    rule::at_least(0));
  v("axes_dim", c.axes_dim,
    "parts of a head that turn with position axis 0 (always 0), row and column; even, their sum is "
    "hidden_size / num_heads",
    rule::at_least(2));
  v("theta", c.theta, "base of the rotary frequencies", rule::above(0));
  v("qkv_bias", c.qkv_bias, "whether the double blocks' query, key, value projections have a bias");
  v("guidance_embed", c.guidance_embed,
    "whether the guidance scale is an input (FLUX.1-dev, which was distilled from guidance)");
  v("norm_eps", c.norm_eps, "added to the variance in the layer norms", rule::above(0));
  v("qk_norm_eps", c.qk_norm_eps,
    "added to the mean square in the norms of queries and keys: float32 epsilon in the benchmark's "
    "reference, 1e-6 in Black Forest Labs' code",
    rule::above(0));
}

/// Names of the flavors: flux-schnell, flux-dev, flux-debug.
std::vector<std::string> flux_flavors();

/// Settings of a flavor, spelled flux-dev or dev; the error lists the known ones.
StatusOr<FluxConfig> flux_flavor(const std::string& name);

/// All broken rules between fields in one message; ok if there are none.
Status validate(const FluxConfig& config);

/// Number of parameters, and of tensors that hold them, by arithmetic.
struct ParameterCount {
  int64_t numbers = 0;
  int64_t tensors = 0;
};
ParameterCount parameter_count(const FluxConfig& config);

}  // namespace titan::models
