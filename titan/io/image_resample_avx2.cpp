#include "titan/io/image_resample.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <algorithm>
#include <cstring>

#define TITAN_AVX2 __attribute__((target("avx2")))

namespace titan::image_resample {
namespace {

/// Sums of high and low halves -> rounded 8-bit values in the low 16 bits of each 32-bit lane (not
/// yet clamped).
TITAN_AVX2 inline __m256i finish(__m256i high, __m256i low) {
  const __m256i half = _mm256_set1_epi32(1 << (kPrecisionBits - 1));
  const __m256i sum =
      _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low), half);
  return _mm256_srai_epi32(sum, kPrecisionBits);
}

TITAN_AVX2 inline __m256i broadcast_pair(const std::int16_t* pair) {
  int bits;
  std::memcpy(&bits, pair, sizeof bits);
  return _mm256_set1_epi32(bits);
}

/// Adds the products of one row pair's bytes, interleaved as 16-bit pairs, to the sums.
TITAN_AVX2 inline void accumulate(__m256i pairs, __m256i high, __m256i low, __m256i& sum_high,
                                  __m256i& sum_low) {
  sum_high = _mm256_add_epi32(sum_high, _mm256_madd_epi16(pairs, high));
  sum_low = _mm256_add_epi32(sum_low, _mm256_madd_epi16(pairs, low));
}

/// Shuffle that widens the channels of two of four pixels to 16-bit pairs: c0p0 c0p1 c1p0 c1p1 ...
TITAN_AVX2 inline __m256i pair_mask(int channels, int first_pixel) {
  alignas(16) std::int8_t mask[16];
  for (int c = 0; c < 4; ++c) {
    const bool used = c < channels;
    mask[4 * c] = static_cast<std::int8_t>(used ? first_pixel * channels + c : -1);
    mask[4 * c + 1] = -1;
    mask[4 * c + 2] = static_cast<std::int8_t>(used ? (first_pixel + 1) * channels + c : -1);
    mask[4 * c + 3] = -1;
  }
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(mask)));
}

TITAN_AVX2 inline __m128i load16(const std::uint8_t* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

/// 16 output bytes at `in`, which must have 16 readable bytes in every row.
TITAN_AVX2 inline __m128i vertical_block(const std::uint8_t* in, std::size_t in_stride,
                                         const std::int16_t* split, int count) {
  __m256i high0 = _mm256_setzero_si256(), low0 = high0, high1 = high0, low1 = high0;
  for (int t = 0; t < count; t += 2) {
    const std::int16_t* group = split + (t / kTapGroup) * 8 + t % kTapGroup;
    const __m256i high = broadcast_pair(group);
    const __m256i low = broadcast_pair(group + kTapGroup);
    const std::uint8_t* row = in + static_cast<std::size_t>(t) * in_stride;
    const __m128i a = load16(row);
    // An odd last tap is paired with itself: the weight of its partner is zero.
    const __m128i b = load16(t + 1 < count ? row + in_stride : row);
    accumulate(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), high, low, high0, low0);
    accumulate(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)), high, low, high1, low1);
  }
  const __m256i words =
      _mm256_permute4x64_epi64(_mm256_packs_epi32(finish(high0, low0), finish(high1, low1)), 0xD8);
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

}  // namespace

bool avx2_usable() {
  static const bool usable = __builtin_cpu_supports("avx2") != 0;
  return usable;
}

TITAN_AVX2 void vertical_avx2(const std::uint8_t* in, std::size_t in_stride, std::size_t row_bytes,
                              const Taps& taps, int i, std::uint8_t* out) {
  constexpr std::size_t kBlock = 16;
  if (row_bytes < kBlock) return vertical_scalar(in, in_stride, row_bytes, taps, i, out);
  const std::int16_t* split =
      taps.split.data() + static_cast<std::ptrdiff_t>(i) * taps.stride() * 2;
  for (std::size_t x = 0; x < row_bytes; x += kBlock) {
    const std::size_t at =
        std::min(x, row_bytes - kBlock);  // the last block overlaps the one before
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + at),
                     vertical_block(in + at, in_stride, split, taps.count[i]));
  }
}

TITAN_AVX2 void horizontal_avx2(const HorizontalRows& rows, int channels, const Taps& taps) {
  const __m256i mask01 = pair_mask(channels, 0);
  const __m256i mask23 = pair_mask(channels, 2);
  const std::uint8_t* in0 = rows.in;
  const std::uint8_t* in1 = rows.num_rows > 1 ? rows.in + rows.in_stride : rows.in;
  std::uint8_t* out0 = rows.out;
  std::uint8_t* out1 = rows.num_rows > 1 ? rows.out + rows.out_stride : rows.out;
  const int num_positions = taps.end - taps.begin;
  const std::int16_t* split = taps.split.data();
  for (int i = 0; i < num_positions;
       ++i, split += taps.stride() * 2, out0 += channels, out1 += channels) {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(taps.first[i]) * channels;
    const int num_groups = (taps.count[i] + kTapGroup - 1) / kTapGroup;
    __m256i sum_high = _mm256_setzero_si256(), sum_low = sum_high;
    for (int g = 0; g < num_groups; ++g) {
      const std::ptrdiff_t at = first + static_cast<std::ptrdiff_t>(g) * kTapGroup * channels;
      const std::int16_t* weight = split + g * 8;
      const __m256i pixels =
          _mm256_inserti128_si256(_mm256_castsi128_si256(load16(in0 + at)), load16(in1 + at), 1);
      accumulate(_mm256_shuffle_epi8(pixels, mask01), broadcast_pair(weight),
                 broadcast_pair(weight + 4), sum_high, sum_low);
      accumulate(_mm256_shuffle_epi8(pixels, mask23), broadcast_pair(weight + 2),
                 broadcast_pair(weight + 6), sum_high, sum_low);
    }
    const __m256i sums = finish(sum_high, sum_low);
    const __m256i words = _mm256_packs_epi32(sums, sums);
    const __m256i bytes = _mm256_packus_epi16(words, words);
    // Four bytes are written even for three channels; the next pixel, or the row's slack, takes the
    // fourth.
    const int pixel0 = _mm256_extract_epi32(bytes, 0), pixel1 = _mm256_extract_epi32(bytes, 4);
    std::memcpy(out0, &pixel0, 4);
    std::memcpy(out1, &pixel1, 4);
  }
}

}  // namespace titan::image_resample
#endif
