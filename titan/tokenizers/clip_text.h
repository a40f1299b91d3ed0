// clip_text.h: how CLIP's tokenizer cleans a text and cuts it into words, as the slow tokenizer of
// Hugging Face transformers 4.52.4 does without ftfy (docs/tokenizers.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace titan {

inline constexpr std::string_view kClipStart = "<|startoftext|>";
inline constexpr std::string_view kClipEnd = "<|endoftext|>";

struct ClipWord {
  enum class Kind : std::uint8_t { kText, kStart, kEnd };
  Kind kind = Kind::kText;
  std::string_view bytes;  ///< lower-case, valid during the call
};

/// Hands the words of well-formed UTF-8 to `take` in order, until it returns false. Literal special
/// tokens are words of their own.
void split_clip_text(std::string_view text, const std::function<bool(const ClipWord&)>& take);

}  // namespace titan
