// dit: the class-conditional diffusion transformer (Peebles & Xie 2023, arXiv:2212.09748) in
// TorchDiTan's form: a llama-style transformer with 2-D rotary positions and SwiGLU. Parameter
// names are the published ones.
//
// config.h: its settings, [model.args].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/fields.h"

namespace titan::models {

struct DitConfig {
  int64_t dim = 256;
  int64_t n_layers = 8;
  int64_t n_heads = 16;
  std::optional<int64_t> n_kv_heads;
  int64_t multiple_of = 256;
  std::optional<double> ffn_dim_multiplier;
  double norm_eps = 1e-5;
  std::string norm_type = "rmsnorm";
  double rope_theta = 10000;
  int64_t patch_size = 2;
  int64_t in_channels = 0;
  int64_t num_classes = 0;
  std::string condition_mode = "adaLN";
  bool depth_init = true;
  double time_scale = 1.0;
  bool absolute_positions = false;

  bool adaln() const { return condition_mode == "adaLN"; }
  int64_t head_dim() const { return dim / n_heads; }
  int64_t kv_heads() const { return n_kv_heads.value_or(n_heads); }
  int64_t ffn_hidden() const;
};

template <class V>
void visit_fields(DitConfig& c, V&& v) {
  v("dim", c.dim, "width", rule::at_least(1));
  v("n_layers", c.n_layers, "number of blocks", rule::at_least(1));
  v("n_heads", c.n_heads, "attention heads; dim / n_heads must be a multiple of 4",
    rule::at_least(1));
  v("n_kv_heads", c.n_kv_heads, "key/value heads; unset = n_heads", rule::at_least(1));
  v("multiple_of", c.multiple_of, "the feed-forward width is rounded up to a multiple of this",
    rule::at_least(1));
  v("ffn_dim_multiplier", c.ffn_dim_multiplier, "scales the feed-forward width", rule::above(0));
  v("norm_eps", c.norm_eps, "added to the variance in norms", rule::above(0));
  v("norm_type", c.norm_type, "norm in the blocks and before the output",
    rule::one_of({"layernorm", "np_layernorm", "np_layernorm_bias", "rmsnorm", "fused_rmsnorm"}));
  v("rope_theta", c.rope_theta, "base of the rotary frequencies", rule::above(0));
  v("patch_size", c.patch_size, "side of a patch; must divide the image", rule::at_least(1));
  v("in_channels", c.in_channels, "channels of the input; 0 = from the data", rule::at_least(0));
  v("num_classes", c.num_classes, "classes; 0 = from the data", rule::at_least(0));
  v("condition_mode", c.condition_mode,
    "how time and class enter: modulation of the norms, or two more tokens",
    rule::one_of({"adaLN", "context"}));
  v("depth_init", c.depth_init, "output projections start smaller the deeper their block");
  v("time_scale", c.time_scale,
    "the time in [0, 1] is multiplied by this before its sinusoid; 1 = TorchDiTan, 1000 = the DiT "
    "paper",
    rule::above(0));
  v("absolute_positions", c.absolute_positions,
    "fixed sinusoids of row and column are added to the patches (the DiT paper's), beside the "
    "rotary "
    "positions, which tell distances only");
}

/// Names of the flavors, as listed: debugmodel, S, B, L, 0.5B (= L), XL, 1B, 7B.
std::vector<std::string> dit_flavors();

/// Settings of a flavor, spelled S or DiT-S; the error lists the known ones.
StatusOr<DitConfig> dit_flavor(const std::string& name);

/// All broken rules between fields, for an input of `height` x `width`, in one message; ok if there
/// are none.
Status validate(const DitConfig& config, int64_t height, int64_t width);

/// Number of parameters, by arithmetic.
int64_t parameter_count(const DitConfig& config);

}  // namespace titan::models
