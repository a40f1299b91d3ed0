// encoder_layout.h: config.json and parameters of small text encoders, in Hugging Face's layout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/tools/random_weights.h"

namespace titan {

/// A T5 v1.1 encoder: gated GELU, 32 relative buckets.
struct SmallT5 {
  std::int64_t d_model = 128;
  std::int64_t num_layers = 2;
  std::int64_t num_heads = 4;
  std::int64_t vocab_size = 0;

  std::int64_t d_kv() const { return d_model / num_heads; }
  std::int64_t d_ff() const { return 2 * d_model; }
};
std::string config_json(const SmallT5& model);
/// Parameters with the deviations that Hugging Face's T5 starts from (initializer_factor 1).
std::vector<RandomTensor> parameters_of(const SmallT5& model);

/// CLIP's text encoder: causal, quick GELU, 77 positions.
struct SmallClip {
  std::int64_t width = 128;
  std::int64_t num_layers = 2;
  std::int64_t num_heads = 4;
  std::int64_t vocab_size = 0;
};
std::string config_json(const SmallClip& model);
/// Parameters with the deviations that Hugging Face's CLIP starts from (initializer_factor 1).
std::vector<RandomTensor> parameters_of(const SmallClip& model);

}  // namespace titan
