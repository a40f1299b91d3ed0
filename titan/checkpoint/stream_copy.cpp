#include "titan/checkpoint/stream_copy.h"

#include <cstdint>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace titan::checkpoint {
namespace {

#ifdef __x86_64__
constexpr std::size_t kStep = 128;

/// `to` lies on a multiple of 32, `size` is a multiple of kStep.
__attribute__((target("avx2"))) void copy_past_caches(std::byte* to, const std::byte* from,
                                                      std::size_t size) {
  for (std::size_t i = 0; i < size; i += kStep) {
    const auto* source = reinterpret_cast<const __m256i*>(from + i);
    auto* target = reinterpret_cast<__m256i*>(to + i);
    const __m256i a = _mm256_loadu_si256(source);
    const __m256i b = _mm256_loadu_si256(source + 1);
    const __m256i c = _mm256_loadu_si256(source + 2);
    const __m256i d = _mm256_loadu_si256(source + 3);
    _mm256_stream_si256(target, a);
    _mm256_stream_si256(target + 1, b);
    _mm256_stream_si256(target + 2, c);
    _mm256_stream_si256(target + 3, d);
  }
  _mm_sfence();  // another thread may read it after an ordinary synchronisation
}
#endif

}  // namespace

void stream_copy(std::byte* to, const std::byte* from, std::size_t size) {
#ifdef __x86_64__
  constexpr std::size_t kWorthIt = 4096;
  static const bool has_avx2 = __builtin_cpu_supports("avx2") > 0;
  if (has_avx2 && size >= kWorthIt) {
    const std::size_t head = (32 - reinterpret_cast<std::uintptr_t>(to) % 32) % 32;
    std::memcpy(to, from, head);
    const std::size_t body = (size - head) / kStep * kStep;
    copy_past_caches(to + head, from + head, body);
    to += head + body;
    from += head + body;
    size -= head + body;
  }
#endif
  if (size > 0) std::memcpy(to, from, size);
}

}  // namespace titan::checkpoint
