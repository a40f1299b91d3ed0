// Files of vocabularies: CLIP's vocab.json and merges.txt, OpenAI's (gzip or not), a spiece.model.
// The first byte chooses; a tokenizer that opens has to encode.
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "titan/tokenizers/clip_tokenizer.h"
#include "titan/tokenizers/tokenizer.h"
#include "titan/tokenizers/unigram_file.h"
#include "titan/tokenizers/unigram_model.h"

namespace {

constexpr const char* kCaption =
    "a photo of two cats, 3 dogs & caf\xC3\xA9 \xEF\xBC\xA1 <|endoftext|>";

void encode(const titan::StatusOr<std::shared_ptr<const titan::Tokenizer>>& opened) {
  if (!opened.ok()) return;
  std::vector<std::int64_t> ids(77);
  (*opened)->encode(kCaption, ids);
  for (const std::int64_t id : ids) TITAN_FUZZ_CHECK(id >= 0 && id < (*opened)->vocabulary_size());
}

}  // namespace

TITAN_FUZZ_INPUT(vocabulary) {
  using namespace titan;
  static fuzz::MemoryFile first, second;
  if (size == 0) return 0;
  fuzz::Parts parts(data + 1, size - 1);
  if (data[0] == 'h') {
    const std::string vocabulary = parts.next(), merges = parts.rest();
    encode(open_clip_tokenizer(first.fill(vocabulary.data(), vocabulary.size()),
                               second.fill(merges.data(), merges.size())));
  } else if (data[0] == 'o') {
    encode(open_openai_clip_tokenizer(first.fill(data + 1, size - 1)));
  } else {
    const std::string model = parts.rest();
    (void)has_normalizer(model);
    if (const auto unigram = UnigramModel::parse(model)) {
      std::vector<SentencePieces::Piece> pieces;
      unigram->encode(kCaption, pieces);
    }
  }
  return 0;
}
