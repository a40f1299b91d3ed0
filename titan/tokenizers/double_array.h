// double_array.h: a trie of byte strings in two interleaved arrays (Aoe 1989, "An efficient digital
// search algorithm by using a double-array structure"), in the layout of the darts-clone library,
// which sentencepiece stores its normalization rules in.
//
//   a unit, 32 bits: label 0-7, has a value 8, wide offset 9, offset 10-30; a value: bit 31 set
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace titan {

class DoubleArray {
 public:
  using Node = std::uint32_t;
  static constexpr Node kRoot = 0;

  DoubleArray() : units_{kValueBit} {}
  /// Takes stored units, little-endian. Damaged ones find nothing or wrong values, never bytes
  /// outside.
  static DoubleArray from_bytes(std::string_view bytes);
  /// Keys with their values, non-negative. Keys are distinct, not empty and hold no zero byte.
  /// Nothing where the trie outgrows the layout (some 100,000 long keys).
  static std::optional<DoubleArray> build(
      std::vector<std::pair<std::string, std::int32_t>> entries);

  /// Follows `letter` from `node`; false, and `node` unchanged, where no key goes on so.
  bool step(Node& node, std::uint8_t letter) const {
    const Node next = node ^ offset_of(units_[node]) ^ letter;
    if (next >= units_.size() || (units_[next] & (kValueBit | 0xFFU)) != letter) return false;
    node = next;
    return true;
  }
  /// The value of the key that ends at `node`, or -1.
  std::int32_t value_at(Node node) const {
    const std::uint32_t unit = units_[node];
    if ((unit & kHasValue) == 0) return -1;
    const Node leaf = node ^ offset_of(unit);
    return leaf < units_.size() ? static_cast<std::int32_t>(units_[leaf] & ~kValueBit) : -1;
  }

 private:
  static constexpr std::uint32_t kValueBit = 1U << 31;
  static constexpr std::uint32_t kHasValue = 1U << 8;
  static std::uint32_t offset_of(std::uint32_t unit) {
    return (unit >> 10) << ((unit & (1U << 9)) >> 6);
  }
  friend class DoubleArrayBuilder;

  std::vector<std::uint32_t> units_;
};

}  // namespace titan
