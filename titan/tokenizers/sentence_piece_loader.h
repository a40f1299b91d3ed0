// sentence_piece_loader.h: finds libtitan_sentencepiece.so.
#pragma once

#include "titan/base/status.h"
#include "titan/tokenizers/sentence_piece_library.h"

namespace titan {

/// The module, loaded once from beside libtitan.so. kFailedPrecondition says why it cannot be.
StatusOr<const SentencePieceModule*> sentence_piece_module();

}  // namespace titan
