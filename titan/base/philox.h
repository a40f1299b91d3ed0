// philox.h: counter-based random bits. A draw is a pure function of (seed, purpose, element,
// sample, epoch), so a global batch gets the same numbers on any layout and a resumed run needs no
// generator state. Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
// 3", section 3.3. Host and device code share this header (TITAN_HOST_DEVICE).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define TITAN_HOST_DEVICE __host__ __device__
#else
#define TITAN_HOST_DEVICE
#endif

namespace titan {

/// What a draw is for; part of the key, so that draws for different purposes never overlap.
enum class RandomPurpose : std::uint32_t {
  kNoise = 1,
  kTimestep = 2,
  kConditionDropout = 3,
  kCrop = 4,
  kFlip = 5,
  kDataOrder = 6,
  kProbe = 7,
  kParameterInit = 8,
  kSampling = 9,
  kLatent = 10,
  kSynthetic = 11,
  kRounding = 12,
  kEvalNoise = 13,
  kEvalLatent = 14,
};

/// 64-bit Philox key of (seed, purpose): splitmix64 of their combination.
TITAN_HOST_DEVICE inline std::uint64_t philox_key(std::uint64_t seed, std::uint32_t purpose) {
  std::uint64_t z = seed + 0x9E3779B97F4A7C15ULL * (static_cast<std::uint64_t>(purpose) + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}
inline std::uint64_t philox_key(std::uint64_t seed, RandomPurpose purpose) {
  return philox_key(seed, static_cast<std::uint32_t>(purpose));
}

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Four 32-bit words of Philox4x32-10 for counter (element_block, sample low, sample high, epoch).
TITAN_HOST_DEVICE inline PhiloxBlock philox4x32(std::uint64_t key, std::uint32_t element_block,
                                                std::uint64_t sample, std::uint32_t epoch) {
  std::uint32_t c0 = element_block;
  auto c1 = static_cast<std::uint32_t>(sample);
  auto c2 = static_cast<std::uint32_t>(sample >> 32);
  std::uint32_t c3 = epoch;
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ULL * c0;
    const std::uint64_t p1 = 0xCD9E8D57ULL * c2;
    const auto hi0 = static_cast<std::uint32_t>(p0 >> 32);
    const auto lo0 = static_cast<std::uint32_t>(p0);
    const auto hi1 = static_cast<std::uint32_t>(p1 >> 32);
    const auto lo1 = static_cast<std::uint32_t>(p1);
    c0 = hi1 ^ c1 ^ k0;
    c1 = lo1;
    c2 = hi0 ^ c3 ^ k1;
    c3 = lo0;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {{c0, c1, c2, c3}};
}

/// Uniform in the open interval (0, 1) on a grid of 2^23 midpoints: exact in float32 and never 0
/// or 1.
TITAN_HOST_DEVICE inline float uniform_from_bits(std::uint32_t bits) {
  return (static_cast<float>(bits >> 9) + 0.5F) * 0x1.0p-23F;
}

/// Standard normal pair by Box-Muller: radius from the first word, angle from the second.
TITAN_HOST_DEVICE inline void normal_pair(std::uint32_t a, std::uint32_t b, float* first,
                                          float* second) {
  const float radius = sqrtf(-2.0F * logf(uniform_from_bits(a)));
  const float angle = 6.2831853071795865F * uniform_from_bits(b);
  *first = radius * cosf(angle);
  *second = radius * sinf(angle);
}

/// Scalar draws keyed by (seed, purpose, sample, epoch); `index` tells draws of one sample apart.
inline std::uint32_t random_bits(std::uint64_t seed, RandomPurpose purpose, std::uint64_t sample,
                                 std::uint32_t epoch, std::uint32_t index = 0) {
  return philox4x32(philox_key(seed, purpose), index / 4, sample, epoch).word[index % 4];
}
inline float random_uniform(std::uint64_t seed, RandomPurpose purpose, std::uint64_t sample,
                            std::uint32_t epoch, std::uint32_t index = 0) {
  return uniform_from_bits(random_bits(seed, purpose, sample, epoch, index));
}
/// Uniform integer in [0, bound) by Lemire's multiply-shift; the bias, bound / 2^32, is below any
/// use here.
inline std::uint32_t random_below(std::uint32_t bound, std::uint64_t seed, RandomPurpose purpose,
                                  std::uint64_t sample, std::uint32_t epoch,
                                  std::uint32_t index = 0) {
  const std::uint64_t bits = random_bits(seed, purpose, sample, epoch, index);
  return static_cast<std::uint32_t>((bits * bound) >> 32);
}

}  // namespace titan
