// cuda_fp8.h: CUDA's 8-bit floating point on the CPU; see cuda_runtime.h. Written from the formats'
// definition (Micikevicius et al. 2022, arXiv:2209.05433), with the C library's rounding, so that
// it checks kernels/cpu/float8.cpp too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <cuda_runtime.h>

// NOLINTBEGIN: CUDA's names
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };
using __nv_fp8_storage_t = std::uint8_t;
using __nv_fp8x2_storage_t = std::uint16_t;

/// Of what saturates alone.
inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float x, __nv_saturation_t,
                                                __nv_fp8_interpretation_t into) {
  const int mantissa = into == __NV_E4M3 ? 3 : 2, bias = into == __NV_E4M3 ? 7 : 15;
  const double most = into == __NV_E4M3 ? 448.0 : 57344.0;
  if (x != x) return 0x7F;
  const double held = std::min(std::fabs(static_cast<double>(x)), most);
  const int least = 1 - bias;  // exponent of the smallest normal number, and of all below it
  const int exponent = held > 0 ? std::max(std::ilogb(held), least) : least;
  // In units of the spacing at this exponent; a carry goes into the exponent by itself.
  const double units = std::nearbyint(std::ldexp(held, mantissa - exponent));
  const int bits = static_cast<int>(units) + ((exponent - least) << mantissa);
  return static_cast<__nv_fp8_storage_t>(bits | (std::signbit(x) ? 0x80 : 0));
}
inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 x, __nv_saturation_t saturation,
                                                     __nv_fp8_interpretation_t into) {
  return static_cast<__nv_fp8x2_storage_t>(__nv_cvt_float_to_fp8(x.x, saturation, into) |
                                           __nv_cvt_float_to_fp8(x.y, saturation, into) << 8);
}
// NOLINTEND
