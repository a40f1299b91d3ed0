// t5_tokenizer.h: the sentencepiece tokenizer of T5 (Raffel et al. 2020, arXiv:1910.10683, section
// 2.1), exact to the slow tokenizer of Hugging Face transformers 4.52.4 in its default, legacy
// mode.
#pragma once

#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/tokenizers/tokenizer.h"

namespace titan {

/// Opens a `spiece.model`. encode() gives the pieces cut to one less than asked for, the end token
/// unless it is last already, and padding. 100 sentinels follow the pieces: <extra_id_n> has the id
/// num_pieces + 99 - n. Literal </s>, <pad>, <unk> and <extra_id_n> in a text become single ids;
/// <extra_id_n> takes the spaces around it along. Errors name the file and what is wrong with it.
StatusOr<std::shared_ptr<const Tokenizer>> open_t5_tokenizer(const std::string& spiece_path);

}  // namespace titan
