// clip_vocabulary.h: the published files of CLIP's vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/tokenizers/byte_pairs.h"

namespace titan {

struct ClipVocabulary {
  BytePairs::Vocabulary ids;  ///< with the two special tokens
  BytePairs::Merges merges;
  std::int64_t start_id = 0;
  std::int64_t end_id = 0;
  std::int64_t size = 0;  ///< largest id + 1
};

/// Reads Hugging Face's pair of files: `vocab.json`, an object of symbol -> id, and `merges.txt`,
/// one pair of symbols a line behind a first line of comment (at most 48,894 pairs count, as in the
/// reference). Errors name the file and what is wrong: absent, cut short, of another kind, or of
/// another vocabulary than its partner.
StatusOr<ClipVocabulary> read_clip_vocabulary(const std::string& vocab_json,
                                              const std::string& merges_txt);

/// Reads OpenAI's `bpe_simple_vocab_16e6.txt.gz` (or the same unpacked): the merges, from which the
/// vocabulary follows: 256 byte symbols, the same that end a word, merges, two special tokens.
StatusOr<ClipVocabulary> read_openai_clip_vocabulary(const std::string& path);

/// All symbols in the order of their ids in OpenAI's layout; one that two merges make counts once.
std::vector<std::string> openai_symbols(const BytePairs::Merges& merges);

}  // namespace titan
