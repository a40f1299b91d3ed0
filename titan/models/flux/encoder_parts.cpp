#include "titan/models/flux/encoder_parts.h"

#include <algorithm>

#include <ATen/ops/from_blob.h>

#include "titan/io/model_folder.h"
#include "titan/tokenizers/clip_tokenizer.h"
#include "titan/tokenizers/t5_tokenizer.h"

namespace titan::models {
namespace {

constexpr int64_t kClipLength = 77;

/// Shardable networks lie on the device meta where ranks share them.
at::TensorOptions network_options(const EncoderPlacement& placement, bool shardable) {
  if (placement.shared && shardable) return at::TensorOptions().device(at::kMeta).dtype(at::kFloat);
  return at::TensorOptions().device(placement.device).dtype(placement.dtype);
}

}  // namespace

at::Tensor token_tensor(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                        int64_t length) {
  std::vector<int64_t> ids = encode_all(tokenizer, texts, length, /*num_threads=*/1);
  return at::from_blob(ids.data(), {static_cast<int64_t>(texts.size()), length}, at::kLong).clone();
}

StatusOr<T5Part> make_t5_part(const EncoderSection& settings, const EncoderPlacement& placement) {
  T5Part t5;
  const std::string path = settings.t5_encoder.value_or("");
  if (path.empty()) return t5;
  TITAN_ASSIGN_OR_RETURN(const ModelFolder folder, find_model_folder(path, "t5"));
  TITAN_ASSIGN_OR_RETURN(const T5Config config, read_t5_config(folder.config));
  TITAN_ASSIGN_OR_RETURN(const std::string pieces, folder.file("spiece.model"));
  TITAN_ASSIGN_OR_RETURN(t5.tokenizer, open_t5_tokenizer(pieces));
  TITAN_RETURN_IF_ERROR(check_vocabulary(*t5.tokenizer, config.vocab, "encoder.t5_encoder"));
  t5.network = std::make_shared<T5Encoder>(config, network_options(placement, /*shardable=*/true));
  t5.weights = folder.weights;
  t5.length = settings.max_t5_encoding_len;
  t5.width = config.d_model;
  return t5;
}

StatusOr<ClipPart> make_clip_part(const EncoderSection& settings,
                                  const EncoderPlacement& placement) {
  ClipPart clip;
  const std::string path = settings.clip_encoder.value_or("");
  if (path.empty()) return clip;
  TITAN_ASSIGN_OR_RETURN(const ModelFolder folder, find_model_folder(path, "clip"));
  TITAN_ASSIGN_OR_RETURN(const ClipTextConfig config, read_clip_text_config(folder.config));
  TITAN_ASSIGN_OR_RETURN(const std::string vocabulary, folder.file("vocab.json"));
  TITAN_ASSIGN_OR_RETURN(const std::string merges, folder.file("merges.txt"));
  TITAN_ASSIGN_OR_RETURN(clip.tokenizer, open_clip_tokenizer(vocabulary, merges));
  TITAN_RETURN_IF_ERROR(check_vocabulary(*clip.tokenizer, config.vocab, "encoder.clip_encoder"));
  clip.network =
      std::make_shared<ClipTextEncoder>(config, network_options(placement, /*shardable=*/true));
  clip.weights = folder.weights;
  clip.length = std::min(kClipLength, config.positions);
  clip.width = config.width;
  return clip;
}

StatusOr<ImagePart> make_image_part(const EncoderSection& settings,
                                    const EncoderPlacement& placement) {
  ImagePart image;
  const std::string path = settings.autoencoder_path.value_or("");
  if (!path.empty() && settings.pixel_patch > 0) {
    return invalid_argument(
        "[encoder] encoder.pixel_patch stands instead of an autoencoder: leave it or "
        "encoder.autoencoder_path away");
  }
  if (settings.pixel_patch > 0) image.coder = make_pixel_coder(settings.pixel_patch);
  if (!path.empty()) {
    TITAN_ASSIGN_OR_RETURN(const ModelFolder folder, find_model_folder(path, "autoencoder"));
    TITAN_ASSIGN_OR_RETURN(const AutoencoderConfig config, read_autoencoder_config(folder.weights));
    image.coder = make_autoencoder_coder(
        std::make_shared<Autoencoder>(config, network_options(placement, /*shardable=*/false)),
        folder.weights);
  }
  if (const std::string decoder = settings.decoder_path.value_or(""); !decoder.empty()) {
    // TorchScript has no form without memory: it is opened, so that its faults are found at once.
    const at::Device device = placement.device.is_meta() ? at::kCPU : placement.device;
    TITAN_ASSIGN_OR_RETURN(ScriptedModule module, ScriptedModule::open(decoder, device));
    image.decoder = std::make_shared<ScriptedModule>(std::move(module));
  }
  return image;
}

}  // namespace titan::models
