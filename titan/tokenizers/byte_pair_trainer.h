// byte_pair_trainer.h: learns the merges of a small CLIP vocabulary from captions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/tokenizers/byte_pairs.h"

namespace titan {

/// Byte-pair merges of the words that CLIP's tokenizer cuts `texts` into: the most frequent pair
/// first (Sennrich et al. 2016, arXiv:1508.07909, section 3.2; of equal ones the first in byte
/// order), until every word is one symbol or `max_merges` are found. Equal texts give equal merges.
BytePairs::Merges learn_byte_pairs(const std::vector<std::string>& texts, std::size_t max_merges);

/// Contents of the two files of Hugging Face's layout for `merges`: ids are those of OpenAI's
/// vocabulary, 256 byte symbols, the same that end a word, merges, start and end token.
struct ClipFiles {
  std::int64_t num_ids = 0;
  std::string vocab_json;
  std::string merges_txt;
};
ClipFiles clip_files(const BytePairs::Merges& merges);

}  // namespace titan
