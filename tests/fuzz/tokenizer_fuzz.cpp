// Any bytes as a caption: CLIP's byte pairs and T5's unigram model, both learned here from a few
// words. TITAN_FUZZ_MODELS names the folder with the small vocabularies.
#include <cstring>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "titan/io/file_descriptor.h"
#include "titan/tokenizers/clip_tokenizer.h"
#include "titan/tokenizers/tokenizer.h"
#include "titan/tokenizers/unigram_model.h"
#include "titan/tokenizers/utf8.h"

namespace {

std::string folder() {
  const char* named = std::getenv("TITAN_FUZZ_MODELS");
  return named == nullptr ? TITAN_FUZZ_MODELS_DEFAULT : named;
}

const titan::Tokenizer& clip() {
  static const auto opened =
      titan::open_clip_tokenizer(folder() + "/vocab.json", folder() + "/merges.txt");
  TITAN_FUZZ_CHECK(opened.ok());
  return **opened;
}

const titan::UnigramModel& unigram() {
  static const auto model = [] {
    const auto text = titan::read_file(folder() + "/spiece.model");
    TITAN_FUZZ_CHECK(text.ok());
    auto parsed = titan::UnigramModel::parse(*text);
    TITAN_FUZZ_CHECK(parsed.has_value());
    return *parsed;
  }();
  return model;
}

}  // namespace

TITAN_FUZZ_INPUT(tokenizer) {
  using namespace titan;
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<std::int64_t> ids(77);
  clip().encode(text, ids);
  for (const std::int64_t id : ids) TITAN_FUZZ_CHECK(id >= 0 && id < clip().vocabulary_size());
  std::string repaired;
  std::vector<SentencePieces::Piece> pieces;
  unigram().encode(well_formed_utf8(text, repaired), pieces);
  for (const SentencePieces::Piece& piece : pieces) TITAN_FUZZ_CHECK(piece.id >= 0);
  return 0;
}
