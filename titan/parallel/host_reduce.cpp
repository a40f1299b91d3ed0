#include "titan/parallel/host_reduce.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

constexpr std::int64_t kBlock = 2048;  // numbers whose sums stay in the nearest cache

template <class T>
constexpr bool kNarrow = std::is_same_v<T, c10::BFloat16> || std::is_same_v<T, c10::Half>;

template <class T>
using Wide = std::conditional_t<kNarrow<T>, float, T>;

template <Reduction kReduction, class T>
T combine(T a, T b) {
  if constexpr (kReduction == Reduction::kSum) return a + b;
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return a;
    if (b != b) return b;
  }
  return (kReduction == Reduction::kMax) == (a > b) ? a : b;
}

template <Reduction kReduction, class T>
void reduce(const std::vector<const std::byte*>& parts, std::int64_t count, std::byte* out_bytes,
            std::byte* copy) {
  std::array<Wide<T>, kBlock> sums;
  T* const out = reinterpret_cast<T*>(out_bytes);
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t length = std::min(kBlock, count - first);
    const T* const head = reinterpret_cast<const T*>(parts[0]) + first;
#pragma omp simd
    for (std::int64_t i = 0; i < length; ++i) sums[i] = static_cast<Wide<T>>(head[i]);
    for (std::size_t p = 1; p < parts.size(); ++p) {
      const T* const part = reinterpret_cast<const T*>(parts[p]) + first;
#pragma omp simd
      for (std::int64_t i = 0; i < length; ++i)
        sums[i] = combine<kReduction>(sums[i], static_cast<Wide<T>>(part[i]));
    }
#pragma omp simd
    for (std::int64_t i = 0; i < length; ++i) out[first + i] = static_cast<T>(sums[i]);
    if (copy != nullptr)
      std::memcpy(copy + first * sizeof(T), out + first,
                  static_cast<std::size_t>(length) * sizeof(T));
  }
}

/// Calls `function` with a value of the type.
template <class Function>
bool with_type(c10::ScalarType type, Function&& function) {
  switch (type) {
    case c10::ScalarType::Float:
      function(float{});
      return true;
    case c10::ScalarType::Double:
      function(double{});
      return true;
    case c10::ScalarType::BFloat16:
      function(c10::BFloat16{});
      return true;
    case c10::ScalarType::Half:
      function(c10::Half{});
      return true;
    case c10::ScalarType::Int:
      function(std::int32_t{});
      return true;
    case c10::ScalarType::Long:
      function(std::int64_t{});
      return true;
    default:
      return false;
  }
}

}  // namespace

bool can_reduce(c10::ScalarType type) {
  return with_type(type, [](auto) {});
}

void host_reduce(Reduction reduction, c10::ScalarType type,
                 const std::vector<const std::byte*>& parts, std::int64_t count, std::byte* out,
                 std::byte* copy) {
  const bool known = with_type(type, [&](auto number) {
    using T = decltype(number);
    switch (reduction) {
      case Reduction::kSum:
        return reduce<Reduction::kSum, T>(parts, count, out, copy);
      case Reduction::kMax:
        return reduce<Reduction::kMax, T>(parts, count, out, copy);
      case Reduction::kMin:
        return reduce<Reduction::kMin, T>(parts, count, out, copy);
    }
  });
  TITAN_CHECK(known, "[parallel] no reduction of ", c10::toString(type));
}

}  // namespace titan::parallel
