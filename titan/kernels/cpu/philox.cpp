// Sixteen Philox blocks abreast in plain loops that the compiler turns into vector code, once for
// each instruction set. Compiled without contraction (CMakeLists.txt), so every variant rounds
// alike and gives the same bits.
#include "titan/kernels/philox.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#define TITAN_INLINE inline __attribute__((always_inline))

namespace titan::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kBatch = 4 * kLanes;  // elements

struct Words {
  alignas(64) std::uint32_t word[4][kLanes];
};

TITAN_INLINE void draw_blocks(std::uint64_t key, std::uint32_t first_block, std::uint64_t sample,
                              std::uint32_t epoch, Words& out) {
  alignas(64) std::uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    c0[lane] = first_block + static_cast<std::uint32_t>(lane);
    c1[lane] = static_cast<std::uint32_t>(sample);
    c2[lane] = static_cast<std::uint32_t>(sample >> 32);
    c3[lane] = epoch;
  }
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0[lane];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c2[lane];
      c0[lane] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[lane] ^ k0;
      c1[lane] = static_cast<std::uint32_t>(p1);
      c2[lane] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[lane] ^ k1;
      c3[lane] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  std::memcpy(out.word[0], c0, sizeof c0);
  std::memcpy(out.word[1], c1, sizeof c1);
  std::memcpy(out.word[2], c2, sizeof c2);
  std::memcpy(out.word[3], c3, sizeof c3);
}

// Values below 2^23 fit a signed integer, whose conversion every instruction set has.
TITAN_INLINE float to_uniform(std::uint32_t bits) {
  return (static_cast<float>(static_cast<std::int32_t>(bits >> 9)) + 0.5F) * 0x1.0p-23F;
}

// Natural logarithm of a normal positive float; polynomial of the Cephes library (S. Moshier,
// logf), error below 1 ulp.
TITAN_INLINE float log_positive(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  // Mantissa into [sqrt(1/2), sqrt(2)): 0x3F3504F3 is sqrt(1/2).
  const std::uint32_t shifted = bits - 0x3F3504F3U;
  const auto exponent = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float m = std::bit_cast<float>((shifted & 0x007FFFFFU) + 0x3F3504F3U) - 1.0F;
  const float square = m * m;
  float p = 7.0376836292e-2F;
  p = p * m - 1.1514610310e-1F;
  p = p * m + 1.1676998740e-1F;
  p = p * m - 1.2420140846e-1F;
  p = p * m + 1.4249322787e-1F;
  p = p * m - 1.6668057665e-1F;
  p = p * m + 2.0000714765e-1F;
  p = p * m - 2.4999993993e-1F;
  p = p * m + 3.3333331174e-1F;
  float y = p * m * square;
  y = y - 2.12194440e-4F * exponent;
  y = y - 0.5F * square;
  return m + y + 0.693359375F * exponent;
}

// Cosine and sine of an angle in [0, 2 pi]: reduction by multiples of pi / 2 in three parts, Cephes
// polynomials.
TITAN_INLINE void cos_sin(float angle, float* cosine, float* sine) {
  const auto quadrant = static_cast<std::int32_t>(angle * 0.636619772F + 0.5F);
  const auto j = static_cast<float>(quadrant);
  float r = angle - j * 1.5703125F;
  r = r - j * 4.837512969970703125e-4F;
  r = r - j * 7.54978995489e-8F;
  const float square = r * r;
  float s = -1.9515295891e-4F;
  s = s * square + 8.3321608736e-3F;
  s = s * square - 1.6666654611e-1F;
  s = s * square * r + r;
  float c = 2.443315711809948e-5F;
  c = c * square - 1.388731625493765e-3F;
  c = c * square + 4.166664568298827e-2F;
  c = c * square * square - 0.5F * square + 1.0F;
  const bool swap = (quadrant & 1) != 0;
  const float base_cosine = swap ? s : c;
  const float base_sine = swap ? c : s;
  *cosine = ((quadrant + 1) & 2) != 0 ? -base_cosine : base_cosine;
  *sine = (quadrant & 2) != 0 ? -base_sine : base_sine;
}

TITAN_INLINE void normals(const std::uint32_t* radius_words, const std::uint32_t* angle_words,
                          float* first, float* second) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const float radius = std::sqrt(-2.0F * log_positive(to_uniform(radius_words[lane])));
    float cosine, sine;
    cos_sin(6.2831853071795865F * to_uniform(angle_words[lane]), &cosine, &sine);
    first[lane] = radius * cosine;
    second[lane] = radius * sine;
  }
}

/// 64 elements from block `first_block` on.
TITAN_INLINE void batch_of_elements(RandomField field, std::uint64_t key, std::uint64_t sample,
                                    std::uint32_t epoch, std::uint32_t first_block, float* out) {
  Words words;
  draw_blocks(key, first_block, sample, epoch, words);
  alignas(64) float value[4][kLanes];
  if (field == RandomField::kNormal) {
    normals(words.word[0], words.word[1], value[0], value[1]);
    normals(words.word[2], words.word[3], value[2], value[3]);
  } else {
    for (int w = 0; w < 4; ++w)
      for (int lane = 0; lane < kLanes; ++lane) value[w][lane] = to_uniform(words.word[w][lane]);
  }
  for (int lane = 0; lane < kLanes; ++lane)
    for (int w = 0; w < 4; ++w) out[4 * lane + w] = value[w][lane];
}

TITAN_INLINE void fill(RandomField field, std::uint64_t key, std::int64_t sample,
                       std::int64_t epoch, std::int64_t first, std::int64_t count, float* out) {
  const auto sample_bits = static_cast<std::uint64_t>(sample);
  const auto epoch_bits = static_cast<std::uint32_t>(epoch);
  std::int64_t done = 0;
  while (done < count) {
    const std::int64_t element = first + done;
    const auto block = static_cast<std::uint32_t>(element / 4);
    const std::int64_t skip = element % 4;
    if (skip == 0 && count - done >= kBatch) {
      batch_of_elements(field, key, sample_bits, epoch_bits, block, out + done);
      done += kBatch;
      continue;
    }
    float edge[kBatch];
    batch_of_elements(field, key, sample_bits, epoch_bits, block, edge);
    const std::int64_t part = std::min<std::int64_t>(kBatch - skip, count - done);
    std::memcpy(out + done, edge + skip, static_cast<std::size_t>(part) * sizeof(float));
    done += part;
  }
}

using FillFunction = void (*)(RandomField, std::uint64_t, std::int64_t, std::int64_t, std::int64_t,
                              std::int64_t, float*);

void fill_plain(RandomField field, std::uint64_t key, std::int64_t sample, std::int64_t epoch,
                std::int64_t first, std::int64_t count, float* out) {
  fill(field, key, sample, epoch, first, count, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void fill_avx2(RandomField field, std::uint64_t key,
                                               std::int64_t sample, std::int64_t epoch,
                                               std::int64_t first, std::int64_t count, float* out) {
  fill(field, key, sample, epoch, first, count, out);
}
__attribute__((target("avx512f,avx512dq,prefer-vector-width=512"))) void fill_avx512(
    RandomField field, std::uint64_t key, std::int64_t sample, std::int64_t epoch,
    std::int64_t first, std::int64_t count, float* out) {
  fill(field, key, sample, epoch, first, count, out);
}
#endif

FillFunction best_fill() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return fill_avx512;
  if (__builtin_cpu_supports("avx2")) return fill_avx2;
#endif
  return fill_plain;
}

}  // namespace

void philox_fill_cpu(RandomField field, std::uint64_t key, std::int64_t sample, std::int64_t epoch,
                     std::int64_t first_element, std::int64_t count, float* out) {
  static const FillFunction chosen = best_fill();
  chosen(field, key, sample, epoch, first_element, count, out);
}

}  // namespace titan::kernels
