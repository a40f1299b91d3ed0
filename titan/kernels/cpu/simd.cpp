#include "titan/kernels/cpu/simd.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

namespace titan::kernels::cpu {
namespace {

SimdLevel detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("fma")) {
    return SimdLevel::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SimdLevel::kAvx2;
#endif
  return SimdLevel::kBaseline;
}

std::atomic<SimdLevel>& limit() {
  static std::atomic<SimdLevel> limit{SimdLevel::kAvx512};
  return limit;
}

struct Free {
  void operator()(float* data) const { std::free(data); }
};

}  // namespace

SimdLevel simd_level() {
  static const SimdLevel best = detect();
  const SimdLevel cap = limit().load(std::memory_order_relaxed);
  return cap < best ? cap : best;
}

void limit_simd_level(SimdLevel cap) { limit().store(cap, std::memory_order_relaxed); }

float* scratch(int64_t count) {
  static thread_local std::unique_ptr<float, Free> data;
  static thread_local int64_t size = 0;
  if (count > size) {
    const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) + 63) / 64 * 64;
    data.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (!data) throw std::bad_alloc();
    size = count;
  }
  return data.get();
}

}  // namespace titan::kernels::cpu
