// rope_table.h: the angles of rotary position embedding on a grid of patches.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace titan::models {

/// Cosines and sines for rows x columns tokens in row-major order: [rows * columns, head_dim / 2,
/// 2] float32. Pair i of the first half turns by column * theta^(-4i / head_dim), of the second
/// half by row * the same; head_dim is a multiple of 4.
at::Tensor rope_table_2d(int64_t rows, int64_t columns, int64_t head_dim, double theta,
                         at::Device device);

/// Cosines and sines for tokens at positions [N, axes]: [N, head_dim / 2, 2] float32. The head is
/// split into parts of widths axes_dim (even); pair j of axis a's part turns by position[a] *
/// theta^(-2j / axes_dim[a]). Angles are taken in float64 and rounded once at the end, so that the
/// table does not depend on how a device rounds them.
at::Tensor rope_table_axes(const at::Tensor& positions, at::IntArrayRef axes_dim, double theta);

/// `table` with `count` more tokens that are not turned.
at::Tensor append_unrotated(const at::Tensor& table, int64_t count);

}  // namespace titan::models
