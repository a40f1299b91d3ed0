#include "titan/models/flux/empty_text.h"

#include <string>

#include <ATen/ops/zeros.h>

#include "titan/data/empty_encodings.h"

namespace titan::models {
namespace {

bool is_synthetic(const JobConfig& config) {
  return config.training.dataset.find("synthetic") != std::string::npos;
}

}  // namespace

StatusOr<TextEncoding> empty_text(const JobConfig& config, const DataShape& shape,
                                  const BatchEncoder* encoder) {
  const std::string path = config.encoder.empty_encodings_path.value_or("");
  const std::vector<int64_t>& t5 = shape.fields.at("t5_encodings");
  const std::vector<int64_t>& clip = shape.fields.at("clip_encodings");
  if (!path.empty()) {
    TITAN_ASSIGN_OR_RETURN(const EmptyEncodings empty, load_empty_encodings(path));
    TITAN_RETURN_IF_ERROR(check_empty_encodings(empty, t5, clip));
    return TextEncoding{empty.t5, empty.clip};
  }
  if (encoder != nullptr && encoder->encodes_text()) {
    const NamedTensors fields = encoder->encode_text({""});
    return TextEncoding{fields.get("t5_encodings")[0], fields.get("clip_encodings")[0]};
  }
  if (is_synthetic(config)) return TextEncoding{at::zeros(t5), at::zeros(clip)};
  return invalid_argument(
      "[flux] training.class_dropout_prob=", config.training.class_dropout_prob,
      " drops prompts: encoder.empty_encodings_path must name the folder with the encodings of the "
      "empty one (t5_empty.npy, clip_empty.npy); scripts/download.sh empty-encodings DIR gets the "
      "published ones, or name the text encoders (encoder.t5_encoder, encoder.clip_encoder)");
}

}  // namespace titan::models
