// cpu: kernels for x86-64. A loop is written once, as an always-inlined body; TITAN_VERSIONS
// compiles it for AVX-512, AVX2 and the baseline, and simd_level() chooses at run time. Other
// processors get the baseline.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "titan/kernels/storage.h"

namespace titan::kernels::cpu {

enum class SimdLevel { kBaseline, kAvx2, kAvx512 };

/// The best level of this processor, at most the limit set last.
SimdLevel simd_level();
/// Caps the level (tests); kAvx512 = no cap.
void limit_simd_level(SimdLevel limit);

/// This thread's scratch of at least `count` floats, 64-byte aligned; valid until its next call on
/// the thread.
float* scratch(int64_t count);

#define TITAN_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__)
#define TITAN_TARGET_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")))
#define TITAN_TARGET_AVX2 __attribute__((target("avx2,fma")))
#else
#define TITAN_TARGET_AVX512
#define TITAN_TARGET_AVX2
#endif

/// From `template <class T> TITAN_INLINE void name_body(const Args&, int64_t task)`:
/// `name_for(storage)` gives the version for this processor, a plain function pointer.
#define TITAN_VERSIONS(name, Args)                                         \
  template <class T>                                                       \
  TITAN_TARGET_AVX512 void name##_avx512(const Args& args, int64_t task) { \
    name##_body<T>(args, task);                                            \
  }                                                                        \
  template <class T>                                                       \
  TITAN_TARGET_AVX2 void name##_avx2(const Args& args, int64_t task) {     \
    name##_body<T>(args, task);                                            \
  }                                                                        \
  template <class T>                                                       \
  void name##_baseline(const Args& args, int64_t task) {                   \
    name##_body<T>(args, task);                                            \
  }                                                                        \
  void (*name##_for(StorageType storage))(const Args&, int64_t) {          \
    const bool f32 = storage == StorageType::kFloat32;                     \
    switch (simd_level()) {                                                \
      case SimdLevel::kAvx512:                                             \
        return f32 ? name##_avx512<float> : name##_avx512<BFloat16>;       \
      case SimdLevel::kAvx2:                                               \
        return f32 ? name##_avx2<float> : name##_avx2<BFloat16>;           \
      default:                                                             \
        return f32 ? name##_baseline<float> : name##_baseline<BFloat16>;   \
    }                                                                      \
  }

/// Runs tasks 0 .. num_tasks - 1 on OpenMP's threads; which thread runs a task changes no result.
template <class Args>
void run_tasks(int64_t num_tasks, bool parallel, void (*task)(const Args&, int64_t),
               const Args& args) {
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t i = 0; i < num_tasks; ++i) task(args, i);
}
/// Below this many elements, starting threads costs more than it saves.
constexpr int64_t kParallelElements = 16 * 1024;

/// Storage of one bfloat16.
struct BFloat16 {
  std::uint16_t bits;
};

TITAN_INLINE float to_float(float value) { return value; }
TITAN_INLINE float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Rounds to nearest, ties to even; a NaN stays one.
template <class T>
TITAN_INLINE T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    return {static_cast<std::uint16_t>(value == value ? rounded : 0x7FC0U)};
  }
}

/// exp(x) to 2 units in the last place, as straight-line code that vectorises. Arguments are held
/// to [-87, 88].
TITAN_INLINE float exp_float(float x) {
  const float held = x < -87.0F ? -87.0F : (x > 88.0F ? 88.0F : x);
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  const float shifted = held * 1.44269504089F + 12582912.0F;
  const float whole = shifted - 12582912.0F;
  const float rest =
      (held - whole * 0.693359375F) - whole * -2.12194440e-4F;  // ln 2 in two parts (Cody & Waite)
  float sum = 1.9875691500e-4F;                                 // Cephes expf
  sum = sum * rest + 1.3981999507e-3F;
  sum = sum * rest + 8.3334519073e-3F;
  sum = sum * rest + 4.1665795894e-2F;
  sum = sum * rest + 1.6666665459e-1F;
  sum = sum * rest + 5.0000001201e-1F;
  sum = sum * rest * rest + rest + 1.0F;
  const std::uint32_t power = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23;
  return sum * std::bit_cast<float>(power);
}

}  // namespace titan::kernels::cpu
