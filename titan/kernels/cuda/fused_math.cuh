// fused_math.cuh: arithmetic that several kernels share: an operation's own, and the one that
// rounds its results to 8 bits (float8.cu). Device code only.
//
// Both must give the same bits, so no sum of a product is left to the compiler, which may or may
// not make one operation of the two: fmaf where it shall, __fadd_rn and __fsub_rn where it shall
// not.
#pragma once

#include <cmath>

#include "titan/kernels/cuda/pack.cuh"

namespace titan::kernels::cuda {

/// As the number would be read back from an array of T.
template <class T>
__device__ __forceinline__ float rounded(float value) {
  return to_float(from_float<T>(value));
}

__device__ __forceinline__ float sigmoid(float x) {
  // 0 where the divisor overflows, as it should be.
  return __fdividef(1.0F, __fadd_rn(1.0F, expf(-x)));
}

// x / 2 (1 + tanh(z)) = x sigmoid(2 z), with 2 z = x (kGeluLinear + kGeluCubic x^2).
constexpr float kGeluLinear = 1.5957691216F;  // 2 sqrt(2 / pi)
constexpr float kGeluCubic = 1.5957691216F * 0.044715F;

__device__ __forceinline__ float gelu(float x) {
  return x * sigmoid(x * fmaf(kGeluCubic * x, x, kGeluLinear));
}
// Bounds where they are finite, with room for the division, which is not rounded exactly.
constexpr float kBoundRoom = 1.00001F;
/// Has at least the magnitude of gelu(x), as computed: sigmoid is at most 1, and gelu at least
/// -0.1701.
__device__ __forceinline__ float gelu_bound(float x) {
  return x < 0.0F && x > -INFINITY ? fminf(-x, 0.18F) : x * kBoundRoom;
}
/// Derivative of gelu.
__device__ __forceinline__ float gelu_slope(float x) {
  const float square = x * x;
  const float s = sigmoid(x * fmaf(kGeluCubic, square, kGeluLinear));
  return s * fmaf(x * fmaf(3.0F * kGeluCubic, square, kGeluLinear), 1.0F - s, 1.0F);
}

/// silu(a) * b.
__device__ __forceinline__ float swiglu(float a, float b) { return a * (sigmoid(a) * b); }
/// Has at least the magnitude of swiglu(a, b), as computed: silu(a) is at least -0.2785.
__device__ __forceinline__ float swiglu_bound(float a, float b) {
  return (a < 0.0F && a > -INFINITY ? fminf(-a, 0.28F) : a) * (b * kBoundRoom);
}

/// One number of modulate_norm.h's y.
__device__ __forceinline__ float modulated(float h, float mean, float rstd, float weight,
                                           float bias, float scale, float shift) {
  // The mean is itself a product where it has just been taken.
  return fmaf(fmaf(__fsub_rn(h, mean) * rstd, weight, bias), 1.0F + scale, shift);
}

}  // namespace titan::kernels::cuda
