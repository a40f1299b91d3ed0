// cuda_bf16.h: CUDA's bfloat16 on the CPU; see cuda_runtime.h.
#pragma once

#include <bit>
#include <cstdint>

// NOLINTBEGIN: CUDA's names
struct __nv_bfloat16 {
  std::uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return {0x7FFF};
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}
// NOLINTEND
