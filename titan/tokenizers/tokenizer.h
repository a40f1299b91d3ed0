// tokenizers: captions to token ids, exact to the published tokenizers. Knows base and io; no
// torch.
//
// tokenizer.h: the interface of a tokenizer, and what all of them share.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Turns a text into ids. Text is UTF-8; malformed bytes count as U+FFFD, as Python's
/// bytes.decode("utf-8", "replace") reads them.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Fills all of `ids`: special tokens set, truncated, padded. Thread-safe. Throws titan::Error
  /// where `ids` is shorter than the special tokens.
  virtual void encode(std::string_view text, std::span<std::int64_t> ids) const = 0;

  /// All ids lie in [0, vocabulary_size()).
  virtual std::int64_t vocabulary_size() const = 0;
};

/// Ids of all texts, row-major [texts.size(), length]. The work is shared out in runs of texts;
/// `num_threads` below 1 means one a core.
std::vector<std::int64_t> encode_all(const Tokenizer& tokenizer,
                                     const std::vector<std::string>& texts, std::int64_t length,
                                     int num_threads);

/// kInvalidArgument where `tokenizer` knows ids that an embedding of `embedding_rows` rows has not:
/// the two come from different models. More rows than ids are usual (T5 pads 32,100 to 32,128).
/// `what` names the encoder in the message.
Status check_vocabulary(const Tokenizer& tokenizer, std::int64_t embedding_rows,
                        const std::string& what);

}  // namespace titan
