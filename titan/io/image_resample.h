// image_resample.h: the two passes of a separable resize, and the filter weights they share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace titan::image_resample {

/// Fraction bits of an 8-bit pass: 32 less 8 of the pixel and 2 for overshoot and sign.
inline constexpr int kPrecisionBits = 22;
/// A 22-bit weight is split as high * 2^12 + low, both within 16 bits: products of 16-bit numbers
/// then give the exact 32-bit sum (pmaddwd), which costs half of a 32-bit multiplication.
inline constexpr int kLowBits = 12;
/// Weights come in groups of this many taps; the last group is filled with zero weights.
inline constexpr int kTapGroup = 4;

/// Filter taps of the output positions [begin, end) of a pass from `in` to `out` pixels.
struct Taps {
  int begin = 0;
  int end = 0;
  int max_groups = 0;               ///< groups of kTapGroup taps kept per position
  std::vector<int> first;           ///< first source pixel of each position
  std::vector<int> count;           ///< taps of each position, at least 1
  std::vector<double> real;         ///< [positions, max_groups * kTapGroup] normalised weights
  std::vector<std::int32_t> fixed;  ///< the same, rounded half away from zero to kPrecisionBits
  std::vector<std::int16_t>
      split;  ///< [positions, max_groups, 8]: high halves of four taps, then low halves

  int stride() const { return max_groups * kTapGroup; }
  /// Source pixels [source_begin, source_end) are read.
  int source_begin() const { return first.front(); }
  int source_end() const { return first.back() + count.back(); }
};

/// Pillow's bicubic taps (a = -0.5), for positions [begin, end) of `out`.
Taps bicubic_taps(int in, int out, int begin, int end);

/// Bytes that a horizontal kernel may read past the end of a row, and write past the end of an
/// output row.
inline constexpr std::size_t kRowSlack = 16;

/// Horizontal pass over `num_rows` rows (at most kRowsAtOnce) of interleaved `channels`; output
/// column i is position begin + i.
struct HorizontalRows {
  const std::uint8_t* in = nullptr;
  std::size_t in_stride = 0;
  std::uint8_t* out = nullptr;
  std::size_t out_stride = 0;
  int num_rows = 0;
};
inline constexpr int kRowsAtOnce = 2;

void horizontal_scalar(const HorizontalRows& rows, int channels, const Taps& taps);
/// Vertical pass: one output row of `row_bytes` bytes from taps.count[i] rows that start at `in`.
void vertical_scalar(const std::uint8_t* in, std::size_t in_stride, std::size_t row_bytes,
                     const Taps& taps, int i, std::uint8_t* out);

#if defined(__x86_64__)
/// AVX2 versions, bit-equal to the scalar ones. Horizontal: 3 or 4 channels. Only where
/// avx2_usable().
bool avx2_usable();
void horizontal_avx2(const HorizontalRows& rows, int channels, const Taps& taps);
void vertical_avx2(const std::uint8_t* in, std::size_t in_stride, std::size_t row_bytes,
                   const Taps& taps, int i, std::uint8_t* out);
#endif

}  // namespace titan::image_resample
