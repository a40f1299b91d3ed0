// adamw_math.h: AdamW of one element and the roundings of its storage, shared by CPU and CUDA code.
// Compiled without contraction on both sides, so that they give the same bits.
#pragma once

#include <cmath>
#include <cstdint>

#include "titan/base/philox.h"
#include "titan/kernels/storage.h"

namespace titan::kernels {

/// What all elements of a step share, rounded from float64.
struct AdamWFactors {
  float clip, shrink, gain1, beta2, gain2, root_scale, eps, rate;
};

/// `shrink` = 1 - lr wd, `rate` = lr / (1 - beta1^n), `root_scale` = 1 / sqrt(1 - beta2^n).
TITAN_HOST_DEVICE inline AdamWFactors adamw_factors(double step, double lr, float clip,
                                                    double beta1, double beta2, double eps,
                                                    double weight_decay) {
  return {clip,
          static_cast<float>(1.0 - lr * weight_decay),
          static_cast<float>(1.0 - beta1),
          static_cast<float>(beta2),
          static_cast<float>(1.0 - beta2),
          static_cast<float>(1.0 / sqrt(1.0 - pow(beta2, step))),
          static_cast<float>(eps),
          static_cast<float>(lr / (1.0 - pow(beta1, step)))};
}

/// p <- p (1 - lr wd)    m <- b1 m + (1 - b1) g    v <- b2 v + (1 - b2) g^2
/// p <- p - lr / (1 - b1^n) m / (sqrt(v) / sqrt(1 - b2^n) + eps)
TITAN_HOST_DEVICE inline void adamw_element(const AdamWFactors& f, float gradient, float& weight,
                                            float& first, float& second) {
  const float g = gradient * f.clip;
  first = first + f.gain1 * (g - first);
  second = second * f.beta2 + f.gain2 * (g * g);
  weight = weight * f.shrink - f.rate * first / (sqrtf(second) * f.root_scale + f.eps);
}

/// average + share (weight - average), exact for share 1 (as at::lerp).
TITAN_HOST_DEVICE inline float blend(float average, float weight, float share) {
  const float difference = weight - average;
  return share < 0.5F ? average + share * difference : weight - difference * (1.0F - share);
}

union FloatBits {
  float value;
  std::uint32_t bits;
};
TITAN_HOST_DEVICE inline std::uint32_t bits_of(float value) {
  FloatBits both;
  both.value = value;
  return both.bits;
}
TITAN_HOST_DEVICE inline float float_of(std::uint32_t bits) {
  FloatBits both;
  both.bits = bits;
  return both.value;
}

/// A NaN with a payload could round into a number.
TITAN_HOST_DEVICE inline std::uint32_t plain_bits(float value) {
  return value == value ? bits_of(value) : 0x7FC00000U;
}

/// The high half of a pair: nearest, halves away from zero. The low half is the low 16 bits.
TITAN_HOST_DEVICE inline std::uint16_t pair_high(std::uint32_t bits) {
  return static_cast<std::uint16_t>((bits + 0x8000U) >> 16);
}
/// The value whose pair this is: a low half with its sign bit set was rounded up.
TITAN_HOST_DEVICE inline float pair_value(std::uint16_t high, std::uint16_t low) {
  const std::uint32_t carried = low >> 15;
  return float_of(((static_cast<std::uint32_t>(high) - carried) << 16) | low);
}

/// Nearest, halves to even.
TITAN_HOST_DEVICE inline std::uint16_t nearest_bfloat16(float value) {
  const std::uint32_t bits = plain_bits(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}
/// Away from zero with the probability that the distance asks for; `random` is uniform in [0,
/// 2^16).
TITAN_HOST_DEVICE inline std::uint16_t stochastic_bfloat16(float value, std::uint32_t random) {
  return static_cast<std::uint16_t>((plain_bits(value) + random) >> 16);
}

TITAN_HOST_DEVICE inline float bfloat16_value(std::uint16_t bits) {
  return float_of(static_cast<std::uint32_t>(bits) << 16);
}

/// What is rounded: part of the random bits' counter.
enum class AdamWRounding : std::uint32_t { kWeight = 0, kSecondMoment = 1 };
/// Sixteen bits for each of the elements 8 block .. 8 block + 7: word i / 2, low half first.
/// Steps fit the 31 bits: they are counted in float32.
TITAN_HOST_DEVICE inline std::uint32_t adamw_epoch(float step, AdamWRounding rounding) {
  return 2U * static_cast<std::uint32_t>(step) + static_cast<std::uint32_t>(rounding);
}

}  // namespace titan::kernels
