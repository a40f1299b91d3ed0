// text_coding.h: text encodings made smaller without losing a bit.
//
// T5 gets no attention mask, so what it says of padding is no constant: every position has its own
// values, and training feeds all of them to the model. They cannot be cut off. But a padded
// position differs little from the one before it, so each is written as the difference of its bits
// (exclusive or), low and high bytes of the bfloat16 apart, and the whole is compressed by zstd.
// Measured in docs/results/preprocessing.md.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Codes bfloat16 values [positions, width] (C order). The result may be larger than the input;
/// then the values themselves are to be stored.
std::vector<std::byte> code_text(std::span<const std::byte> values, std::size_t width);

/// Undoes it into `out`, whose size is that of the values. kDataLoss where the bytes are not what
/// code_text made of so many values (a checksum is part of them).
Status decode_text(std::span<const std::byte> coded, std::size_t width, std::span<std::byte> out);

}  // namespace titan
