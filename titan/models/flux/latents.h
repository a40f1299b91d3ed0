// latents.h: between latents and image tokens, and where a token lies.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace titan::models {

/// Latents [B, C, H, W] to tokens [B, (H / 2) (W / 2), 4 C]: token row * (W / 2) + column, feature
/// c * 4 + (row in patch) * 2 + column in patch. Throws titan::Error where H or W is odd.
at::Tensor pack_latents(const at::Tensor& latents);

/// The inverse, for a grid of rows x columns tokens.
at::Tensor unpack_latents(const at::Tensor& tokens, int64_t rows, int64_t columns);

/// Positions (0, row, column) of the image tokens: [rows * columns, 3] float32.
at::Tensor image_positions(int64_t rows, int64_t columns);

/// Positions of all tokens in their order in attention: text (zeros) first, [text_tokens + rows *
/// columns, 3] float32.
at::Tensor joint_positions(int64_t text_tokens, int64_t rows, int64_t columns);

}  // namespace titan::models
