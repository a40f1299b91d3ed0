#include "titan/data/finite_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace titan {
namespace {

// bfloat16 without its sign grows with its bits; from 0x7F80 on stand infinity and NaN. So the
// largest of a block decides, and the largest of 16-bit numbers is one vector instruction.
constexpr std::int16_t kInfinity = 0x7F80, kMagnitude = 0x7FFF;
constexpr std::size_t kBlock = 16384;  // bytes: a block with a fault is searched again

std::int16_t magnitude(const std::byte* value) {
  std::int16_t bits;
  std::memcpy(&bits, value, 2);
  return static_cast<std::int16_t>(bits & kMagnitude);
}

std::int16_t largest_of(std::span<const std::byte> values) {
  std::int16_t largest = 0;
  const std::size_t count = values.size() / 2;
  for (std::size_t i = 0; i < count; ++i)
    largest = std::max(largest, magnitude(values.data() + 2 * i));
  return largest;
}

/// Index of the first value of a block that is known to hold one.
std::size_t search(std::span<const std::byte> values) {
  std::size_t at = 0;
  while (magnitude(values.data() + 2 * at) < kInfinity) ++at;
  return at;
}

#if defined(__SSE2__)
constexpr std::size_t kLine = 64;  // bytes of a cache line
// Bytes ahead of the copy: the hardware's own prefetcher stops at each page.
constexpr std::size_t kAhead = 2048;

/// The largest magnitude of whole lines, copied on the way with stores that leave the caches alone.
/// `to` lies on a line.
std::int16_t stream_lines(const std::byte* from, std::byte* to, std::size_t size) {
  const __m128i mask = _mm_set1_epi16(kMagnitude);
  __m128i first = _mm_setzero_si128(), second = first;
  for (std::size_t at = 0; at < size; at += kLine) {
    _mm_prefetch(reinterpret_cast<const char*>(from + at) + kAhead, _MM_HINT_T0);
    const auto* source = reinterpret_cast<const __m128i*>(from + at);
    auto* target = reinterpret_cast<__m128i*>(to + at);
    const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
    first = _mm_max_epi16(first, _mm_and_si128(mask, a));
    second = _mm_max_epi16(second, _mm_and_si128(mask, b));
    first = _mm_max_epi16(first, _mm_and_si128(mask, c));
    second = _mm_max_epi16(second, _mm_and_si128(mask, d));
  }
  std::int16_t lanes[8];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), _mm_max_epi16(first, second));
  return *std::max_element(std::begin(lanes), std::end(lanes));
}
#endif

/// Copies a block; its largest magnitude.
std::int16_t copy_block(std::span<const std::byte> values, std::byte* to) {
  std::memcpy(to, values.data(), values.size());
  return largest_of(values);
}

}  // namespace

std::optional<std::size_t> find_not_finite(std::span<const std::byte> values) {
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    if (largest_of(block) >= kInfinity) return begin / 2 + search(block);
  }
  return std::nullopt;
}

std::optional<std::size_t> copy_finite(std::span<const std::byte> values, std::byte* to) {
  std::size_t done = 0;
#if defined(__SSE2__)
  // Up to the first line of `to` as usual, then whole lines, then the rest as usual.
  constexpr std::size_t kSmall = 16384;  // stays in the cache for whoever reads it next
  const std::size_t head = (kLine - reinterpret_cast<std::uintptr_t>(to) % kLine) % kLine;
  if (values.size() >= kSmall && head % 2 == 0) {
    if (copy_block(values.first(head), to) >= kInfinity) return search(values);
    done = head;
    while (values.size() - done >= kLine) {
      const std::size_t size = std::min(kBlock, (values.size() - done) / kLine * kLine);
      if (stream_lines(values.data() + done, to + done, size) >= kInfinity)
        return done / 2 + search(values.subspan(done));
      done += size;
    }
    _mm_sfence();  // such stores are not ordered by a mutex
  }
#endif
  while (done < values.size()) {
    const auto block = values.subspan(done, std::min(kBlock, values.size() - done));
    if (copy_block(block, to + done) >= kInfinity) return done / 2 + search(block);
    done += block.size();
  }
  return std::nullopt;
}

}  // namespace titan
