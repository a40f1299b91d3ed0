// t5_config.h: the sizes of a T5 encoder and where they are read from. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/protocols/weight_formats.h"

namespace titan::models {

/// Raffel et al. 2019, arXiv:1910.10683, in the form of version 1.1 (gated GELU, Shazeer 2020,
/// arXiv:2002.05202). Defaults are those of XXL.
struct T5Config {
  int64_t vocab = 32128;
  int64_t d_model = 4096;
  int64_t heads = 64;
  int64_t d_kv = 64;  ///< width of a head; heads x d_kv need not be d_model
  int64_t d_ff = 10240;
  int64_t layers = 24;
  int64_t relative_buckets = 32;
  int64_t relative_max_distance = 128;
  double eps = 1e-6;  ///< of the RMS norms
};

/// Reads a Hugging Face config.json. kNotFound or kInvalidArgument name the file and everything
/// that is missing, out of range or of another kind of T5 (feed_forward_proj other than
/// gated-gelu, a model_type other than t5).
StatusOr<T5Config> read_t5_config(const std::string& config_json_path);

/// Format "huggingface". shared.weight may be called encoder.embed_tokens.weight; decoder.* and
/// lm_head.* are ignored.
std::shared_ptr<const WeightFormats> t5_weight_formats();

}  // namespace titan::models
