#include "titan/tokenizers/clip_tokenizer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "titan/tokenizers/byte_pairs.h"
#include "titan/tokenizers/clip_text.h"
#include "titan/tokenizers/clip_vocabulary.h"
#include "titan/tokenizers/utf8.h"

namespace titan {
namespace {

class ClipTokenizer : public Tokenizer {
 public:
  ClipTokenizer(BytePairs pairs, const ClipVocabulary& vocabulary)
      : pairs_(std::move(pairs)),
        start_(vocabulary.start_id),
        end_(vocabulary.end_id),
        size_(vocabulary.size) {}

  void encode(std::string_view text, std::span<std::int64_t> ids) const override {
    TITAN_CHECK(ids.size() >= 2, "[clip tokenizer] needs room for two special tokens (", ids.size(),
                " ids)");
    std::string repaired;
    std::vector<std::int64_t> found;
    BytePairs::Scratch scratch;
    const std::size_t room = ids.size() - 2;
    split_clip_text(well_formed_utf8(text, repaired), [&](const ClipWord& word) {
      switch (word.kind) {
        case ClipWord::Kind::kStart:
          found.push_back(start_);
          break;
        case ClipWord::Kind::kEnd:
          found.push_back(end_);
          break;
        case ClipWord::Kind::kText:
          pairs_.encode(word.bytes, scratch, found);
          break;
      }
      return found.size() < room;
    });
    const std::size_t length = std::min(found.size(), room);
    ids[0] = start_;
    std::copy_n(found.begin(), length, ids.begin() + 1);
    std::fill(ids.begin() + 1 + static_cast<std::ptrdiff_t>(length), ids.end(), end_);
  }

  std::int64_t vocabulary_size() const override { return size_; }

 private:
  BytePairs pairs_;
  std::int64_t start_;
  std::int64_t end_;
  std::int64_t size_;
};

StatusOr<std::shared_ptr<const Tokenizer>> make_tokenizer(StatusOr<ClipVocabulary> vocabulary,
                                                          const std::string& merges_path) {
  if (!vocabulary.ok()) return annotate(vocabulary.status(), "[clip tokenizer]");
  // What the vocabulary has no symbol for becomes the end token, as in the reference.
  StatusOr<BytePairs> pairs =
      BytePairs::build(vocabulary->ids, vocabulary->merges, vocabulary->end_id);
  if (!pairs.ok()) return annotate(pairs.status(), "[clip tokenizer] " + merges_path);
  return std::make_shared<const ClipTokenizer>(*std::move(pairs), *vocabulary);
}

}  // namespace

StatusOr<std::shared_ptr<const Tokenizer>> open_clip_tokenizer(const std::string& vocab_json,
                                                               const std::string& merges_txt) {
  return make_tokenizer(read_clip_vocabulary(vocab_json, merges_txt), merges_txt);
}

StatusOr<std::shared_ptr<const Tokenizer>> open_openai_clip_tokenizer(const std::string& path) {
  return make_tokenizer(read_openai_clip_vocabulary(path), path);
}

}  // namespace titan
