// sentence_piece_trainer.h: makes a spiece.model for small encoders out of captions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Trains a unigram model (Kudo 2018, arXiv:1804.10959) with T5's conventions: padding 0, end 1,
/// unknown 2, nmt_nfkc normalization. It has at most `max_pieces` pieces, fewer where the texts
/// have no more to give. Equal texts give equal bytes. Returns the contents of the file;
/// kInvalidArgument where the texts are too few or `max_pieces` is below the number of their
/// characters.
StatusOr<std::string> train_sentence_pieces(const std::vector<std::string>& texts,
                                            std::int64_t max_pieces);

}  // namespace titan
