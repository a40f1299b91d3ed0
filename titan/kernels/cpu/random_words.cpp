#include "titan/kernels/cpu/random_words.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels::cpu {
namespace {

/// Sixteen Philox blocks from `block` on (philox4x32 of base/philox.h), word by word.
TITAN_INLINE void draw_lanes(const PhiloxCounter& args, std::uint32_t block, std::uint32_t* out) {
  alignas(64) std::uint32_t c0[kPhiloxBatch], c1[kPhiloxBatch], c2[kPhiloxBatch], c3[kPhiloxBatch];
  for (std::uint32_t i = 0; i < kPhiloxBatch; ++i) {
    c0[i] = block + i;
    c1[i] = static_cast<std::uint32_t>(args.sample);
    c2[i] = static_cast<std::uint32_t>(args.sample >> 32);
    c3[i] = args.epoch;
  }
  auto k0 = static_cast<std::uint32_t>(args.key);
  auto k1 = static_cast<std::uint32_t>(args.key >> 32);
#pragma GCC unroll 1
  for (int round = 0; round < 10; ++round) {
#pragma omp simd simdlen(16)
    for (int i = 0; i < kPhiloxBatch; ++i) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0[i];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<std::uint32_t>(p1);
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
#pragma omp simd
  for (int i = 0; i < kPhiloxBatch; ++i) {
    out[4 * i] = c0[i];
    out[4 * i + 1] = c1[i];
    out[4 * i + 2] = c2[i];
    out[4 * i + 3] = c3[i];
  }
}

TITAN_INLINE void draw_batches(const PhiloxCounter& args, std::uint32_t first, int64_t batches,
                               std::uint32_t* out) {
  for (int64_t b = 0; b < batches; ++b)
    draw_lanes(args, first + static_cast<std::uint32_t>(b * kPhiloxBatch),
               out + b * kPhiloxBatchWords);
}

#if defined(__x86_64__)
/// Both halves of sixteen 32-bit products. The compiler takes the three times slower 64-bit
/// multiply.
struct Products {
  __m512i low, high;
};
TITAN_TARGET_AVX512 inline Products multiply(__m512i values, __m512i factor) {
  const __m512i even = _mm512_mul_epu32(values, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(values, 32), factor);
  constexpr __mmask16 kOdd = 0xAAAA;
  return {_mm512_mask_blend_epi32(kOdd, even, _mm512_slli_epi64(odd, 32)),
          _mm512_mask_blend_epi32(kOdd, _mm512_srli_epi64(even, 32), odd)};
}

TITAN_TARGET_AVX512 inline __m512i all(std::uint64_t value) {
  return _mm512_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(value)));
}

TITAN_TARGET_AVX512 void draw_avx512(const PhiloxCounter& args, std::uint32_t first,
                                     int64_t batches, std::uint32_t* out) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i factor0 = all(0xD2511F53U), factor1 = all(0xCD9E8D57U);
  // Words of one block lie side by side: lane i of word w goes to 4 i + w.
  const __m512i places = _mm512_slli_epi32(lanes, 2);
  for (int64_t b = 0; b < batches; ++b) {
    __m512i c0 = _mm512_add_epi32(all(first + static_cast<std::uint32_t>(b * kPhiloxBatch)), lanes);
    __m512i c1 = all(args.sample), c2 = all(args.sample >> 32), c3 = all(args.epoch);
    auto k0 = static_cast<std::uint32_t>(args.key);
    auto k1 = static_cast<std::uint32_t>(args.key >> 32);
    for (int round = 0; round < 10; ++round) {
      const Products p0 = multiply(c0, factor0), p1 = multiply(c2, factor1);
      c0 = _mm512_xor_si512(_mm512_xor_si512(p1.high, c1), all(k0));
      c1 = p1.low;
      c2 = _mm512_xor_si512(_mm512_xor_si512(p0.high, c3), all(k1));
      c3 = p0.low;
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    std::uint32_t* const batch = out + b * kPhiloxBatchWords;
    const __m512i words[4] = {c0, c1, c2, c3};
    for (int w = 0; w < 4; ++w) _mm512_i32scatter_epi32(batch + w, places, words[w], 4);
  }
}
#else
void draw_avx512(const PhiloxCounter& args, std::uint32_t first, int64_t batches,
                 std::uint32_t* out) {
  draw_batches(args, first, batches, out);
}
#endif

TITAN_TARGET_AVX2 void draw_avx2(const PhiloxCounter& args, std::uint32_t first, int64_t batches,
                                 std::uint32_t* out) {
  draw_batches(args, first, batches, out);
}
void draw_baseline(const PhiloxCounter& args, std::uint32_t first, int64_t batches,
                   std::uint32_t* out) {
  draw_batches(args, first, batches, out);
}

}  // namespace

void random_words(const PhiloxCounter& counter, std::uint32_t first, int64_t batches,
                  std::uint32_t* out) {
  switch (simd_level()) {
    case SimdLevel::kAvx512:
      return draw_avx512(counter, first, batches, out);
    case SimdLevel::kAvx2:
      return draw_avx2(counter, first, batches, out);
    default:
      return draw_baseline(counter, first, batches, out);
  }
}

}  // namespace titan::kernels::cpu
