// dit_testing.h: a DiT from a golden case. Include tests/support/catch.h first.
#pragma once

#include <torch/types.h>

#include "titan/models/dit/model.h"

#include "tests/support/golden.h"
#include "tests/support/modules.h"

namespace titan::testing {

/// The settings of a case's "config" (or of a row of the flavors file).
inline models::DitConfig dit_config(const nlohmann::json& json) {
  models::DitConfig config;
  const auto optional = [&](const char* key) {
    return json.contains(key) && !json.at(key).is_null();
  };
  config.dim = json.at("dim");
  config.n_layers = json.value("n_layers", int64_t{1});
  config.n_heads = json.at("n_heads");
  if (optional("n_kv_heads")) config.n_kv_heads = json.at("n_kv_heads").get<int64_t>();
  if (optional("ffn_dim_multiplier"))
    config.ffn_dim_multiplier = json.at("ffn_dim_multiplier").get<double>();
  config.multiple_of = json.value("multiple_of", config.multiple_of);
  config.norm_eps = json.value("norm_eps", config.norm_eps);
  config.norm_type = json.value("norm_type", config.norm_type);
  config.rope_theta = json.value("rope_theta", config.rope_theta);
  config.patch_size = json.value("patch_size", config.patch_size);
  config.in_channels = json.value("input_channels", int64_t{1});
  config.num_classes = json.value("num_classes", int64_t{1});
  config.condition_mode = json.value("condition_mode", config.condition_mode);
  return config;
}

}  // namespace titan::testing
