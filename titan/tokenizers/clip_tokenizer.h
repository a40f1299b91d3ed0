// clip_tokenizer.h: the byte-pair tokenizer of CLIP (Radford et al. 2021, arXiv:2103.00020, section
// 2.4), exact to the slow tokenizer of Hugging Face transformers 4.52.4 without ftfy.
#pragma once

#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/tokenizers/tokenizer.h"

namespace titan {

/// Opens `vocab.json` and `merges.txt` of a Hugging Face folder. encode() gives the start token,
/// the text cut to two less than asked for, and the end token, which also pads. Literal special
/// tokens in a text become single ids. Errors name file and problem (clip_vocabulary.h).
StatusOr<std::shared_ptr<const Tokenizer>> open_clip_tokenizer(const std::string& vocab_json,
                                                               const std::string& merges_txt);

/// The same from OpenAI's `bpe_simple_vocab_16e6.txt.gz`.
StatusOr<std::shared_ptr<const Tokenizer>> open_openai_clip_tokenizer(const std::string& path);

}  // namespace titan
