// unigram_model.h: sentencepiece's unigram segmentation, several times as fast as the library's and
// equal to it to the last bit of a score (docs/tokenizers.md says why that matters).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/tokenizers/double_array.h"
#include "titan/tokenizers/sentence_piece_library.h"

namespace titan {

/// A unigram model as T5's. Immutable.
class UnigramModel {
 public:
  /// Reads the contents of a spiece.model. Nothing for models that only the library knows: byte
  /// pairs, byte fallback, user-defined symbols, white space as suffix or not escaped.
  static std::optional<UnigramModel> parse(const std::string& model);

  /// Normalizes well-formed UTF-8: the rules of the model, spaces joined and written as U+2581.
  std::string normalize(std::string_view text) const;

  /// Appends the pieces of `text` with the highest score; unknown_id() for single characters that
  /// no piece holds, neighbours joined.
  void encode(std::string_view text, std::vector<SentencePieces::Piece>& pieces) const;

  std::int64_t unknown_id() const { return unknown_id_; }

 private:
  struct Best {
    float score = 0;
    std::int32_t begin = -1;
    std::int32_t id = -1;
  };
  struct Prefix {
    std::string_view normal;
    std::size_t length = 0;
  };

  void find_plain_letters();
  Prefix normalize_prefix(std::string_view text) const;
  std::vector<Best> best_paths(std::string_view normal) const;

  DoubleArray rules_;         ///< character sequences -> position in replacements_
  std::string replacements_;  ///< each ends in a zero byte
  /// ASCII letters that stay as they are before another ASCII letter.
  std::array<bool, 128> plain_{};
  bool add_dummy_prefix_ = true;
  bool remove_extra_spaces_ = true;
  DoubleArray pieces_;
  std::vector<float> scores_;
  std::int32_t unknown_id_ = 0;
  float unknown_score_ = 0;
};

}  // namespace titan
