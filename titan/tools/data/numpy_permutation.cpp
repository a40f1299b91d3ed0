#include "titan/tools/data/numpy_permutation.h"

#include <bit>
#include <numeric>
#include <random>
#include <utility>

#include "titan/base/check.h"

namespace titan::tools {
namespace {

/// Uniform in [0, max]: draws of as many bits as max has, until one is not above it.
std::uint32_t masked_draw(std::mt19937& generator, std::uint32_t max) {
  const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << std::bit_width(max)) - 1);
  for (;;) {
    const std::uint32_t value = static_cast<std::uint32_t>(generator()) & mask;
    if (value <= max) return value;
  }
}

}  // namespace

std::vector<int64_t> numpy_permutation(int64_t n, std::uint32_t seed) {
  // From 2^32 on NumPy draws 64 bits.
  TITAN_CHECK(n >= 0 && n <= (int64_t{1} << 32), "[numpy] too many items to permute (", n, ")");
  std::vector<int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::mt19937 generator(seed);
  for (std::size_t last = order.size(); last-- > 1;)
    std::swap(order[last], order[masked_draw(generator, static_cast<std::uint32_t>(last))]);
  return order;
}

}  // namespace titan::tools
