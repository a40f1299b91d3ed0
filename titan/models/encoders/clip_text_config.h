// clip_text_config.h: the sizes of CLIP's text encoder and where they are read from. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/protocols/weight_formats.h"

namespace titan::models {

/// Radford et al. 2021, arXiv:2103.00020, section 2.4. Defaults are those of ViT-L/14.
struct ClipTextConfig {
  enum class Activation : std::uint8_t {
    kQuickGelu,  ///< x sigmoid(1.702 x)
    kGelu,       ///< the exact one
  };
  int64_t vocab = 49408;
  int64_t width = 768;
  int64_t layers = 12;
  int64_t heads = 12;
  int64_t mlp = 3072;
  int64_t positions = 77;
  double eps = 1e-5;  ///< of the layer norms
  Activation activation = Activation::kQuickGelu;
};

/// Reads a Hugging Face config.json, of the text model or of a whole CLIP (its "text_config").
/// Absent fields have the library's defaults. kNotFound or kInvalidArgument name the file and
/// everything that is out of range or not supported.
StatusOr<ClipTextConfig> read_clip_text_config(const std::string& config_json_path);

/// Format "huggingface" (text_model.*). Ignored is what else a whole CLIP has: vision_model.*, both
/// projections, logit_scale, position_ids.
std::shared_ptr<const WeightFormats> clip_text_weight_formats();

}  // namespace titan::models
