#include "tests/support/catch.h"

#include "titan/data/finite_copy.h"

#include <cstdint>
#include <cstring>
#include <vector>

namespace titan {
namespace {

constexpr std::size_t kCounts[] = {1, 2, 31, 32, 33, 4095, 4096, 4097, 8192, 8193, 20000, 70001};

std::span<const std::byte> bytes_of(const std::vector<std::uint16_t>& values) {
  return std::as_bytes(std::span(values));
}

TEST_CASE("finite: NaN and infinity are found wherever they stand", "[data]") {
  for (const std::size_t count : kCounts) {
    std::vector<std::uint16_t> values(count, 0x7F7F);  // the largest finite number
    CHECK_FALSE(find_not_finite(bytes_of(values)));
    for (const std::size_t at : {std::size_t{0}, count / 2, count - 1}) {
      for (const int bits : {0x7F80, 0xFF80, 0x7FC0, 0x7F81, 0xFFFF}) {
        values[at] = static_cast<std::uint16_t>(bits);
        CHECK(find_not_finite(bytes_of(values)) == at);
      }
      values[at] = 0x8000;
    }
  }
}

TEST_CASE("finite: a copy is the values themselves, from any address to any address", "[data]") {
  for (const std::size_t count : kCounts) {
    for (const std::size_t from : {0, 1, 2, 38}) {
      for (const std::size_t to : {0, 2, 6, 62, 3}) {
        INFO(count << " values from " << from << " to " << to);
        const std::size_t size = 2 * count;
        std::vector<std::byte> source(size + 64), target(size + 128, std::byte{0x55});
        for (std::size_t i = 0; i < source.size(); ++i)
          source[i] = static_cast<std::byte>(i * 7 % 0x60);  // no exponent of ones
        const std::size_t base = 64 - reinterpret_cast<std::uintptr_t>(target.data()) % 64 + to;
        REQUIRE(base + size <= target.size());
        CHECK_FALSE(copy_finite({source.data() + from, size}, target.data() + base));
        CHECK(std::memcmp(source.data() + from, target.data() + base, size) == 0);
        for (std::size_t i = 0; i < target.size(); ++i)
          if (i < base || i >= base + size) REQUIRE(target[i] == std::byte{0x55});
      }
    }
  }
}

TEST_CASE("finite: a copy finds the first value that is not finite", "[data]") {
  for (const std::size_t count : kCounts) {
    for (const std::size_t to : {0, 2, 34}) {
      std::vector<std::uint16_t> values(count, 0xFF7F);
      std::vector<std::byte> target(2 * count + 128);
      std::byte* place =
          target.data() + (64 - reinterpret_cast<std::uintptr_t>(target.data()) % 64 + to);
      values[count - 1] = 0xFF80;
      for (const std::size_t at : {count - 1, count - count / 8, count / 2, count / 3,
                                   std::size_t{33}, std::size_t{5}, std::size_t{0}}) {
        if (at >= count) continue;
        INFO(count << " values, the bad one at " << at);
        values[at] = 0x7FC1;
        CHECK(copy_finite(bytes_of(values), place) == at);
      }
    }
  }
}

}  // namespace
}  // namespace titan
