// encoder_parts.h: the networks of Flux's encoder with what belongs to them, opened from where the
// settings say.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/models/encoders/clip_text.h"
#include "titan/models/encoders/scripted_decoder.h"
#include "titan/models/encoders/t5.h"
#include "titan/models/flux/picture_coder.h"
#include "titan/protocols/batch_encoder.h"
#include "titan/tokenizers/tokenizer.h"

namespace titan::models {

/// [n, length] int64 on the CPU.
at::Tensor token_tensor(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                        int64_t length);

/// A text encoder with what makes its tokens; null where there is none.
template <class Network>
struct TextEncoder {
  std::shared_ptr<Network> network;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string weights;
  int64_t length = 0;  ///< tokens of a text
  int64_t width = 0;   ///< of its encodings

  explicit operator bool() const { return network != nullptr; }
  /// [n, length] int64.
  at::Tensor tokens(const std::vector<std::string>& texts, at::Device device) const {
    return token_tensor(*tokenizer, texts, length).to(device);
  }
};
using T5Part = TextEncoder<T5Encoder>;
using ClipPart = TextEncoder<ClipTextEncoder>;

/// How pictures become latents, and what makes pictures of latents instead; both may be null.
struct ImagePart {
  std::shared_ptr<PictureCoder> coder;
  std::shared_ptr<ScriptedModule> decoder;

  explicit operator bool() const { return coder || decoder; }
};

/// Empty parts where the setting is. Errors: missing files, with the command that gets them; a
/// vocabulary larger than the embedding.
StatusOr<T5Part> make_t5_part(const EncoderSection& settings, const EncoderPlacement& placement);
StatusOr<ClipPart> make_clip_part(const EncoderSection& settings,
                                  const EncoderPlacement& placement);
StatusOr<ImagePart> make_image_part(const EncoderSection& settings,
                                    const EncoderPlacement& placement);

}  // namespace titan::models
