// kernel_testing.h: arrays in either storage type for tests of raw-pointer kernels, and their
// comparison.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "titan/kernels/storage.h"

namespace titan::testing {

using kernels::StorageType;

/// `count` elements that begin `offset` elements behind a 16-byte boundary, drawn from a normal
/// distribution or filled with a mark, and a margin behind them that must not change.
class Array {
 public:
  static constexpr float kMark = 12345.0F;
  enum class Fill { kRandom, kMark };

  Array(StorageType storage, int64_t count, Fill fill, int64_t offset = 0, float scale = 1.0F)
      : storage_(storage), count_(count) {
    constexpr int64_t kMargin = 16;
    bytes_.resize(static_cast<std::size_t>((count + offset + kMargin) * size()) + 16);
    const auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
    start_ = static_cast<int64_t>((16 - address % 16) % 16) + offset * size();
    std::normal_distribution<float> normal(0.0F, scale);
    for (int64_t i = 0; i < count + kMargin; ++i)
      set(i, fill == Fill::kRandom && i < count ? normal(generator()) : kMark);
  }

  void* data(int64_t i = 0) { return bytes_.data() + start_ + i * size(); }
  float* floats() { return static_cast<float*>(data()); }
  int64_t count() const { return count_; }
  float at(int64_t i) {
    if (storage_ == StorageType::kFloat32) return floats()[i];
    const std::uint32_t bits = static_cast<std::uint16_t*>(data())[i];
    return std::bit_cast<float>(bits << 16);
  }
  void set(int64_t i, float value) {
    if (storage_ == StorageType::kFloat32) {
      floats()[i] = value;
    } else {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      static_cast<std::uint16_t*>(data())[i] =
          static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
    }
  }
  bool margin_untouched() {
    bool same = true;
    for (int64_t i = count_; i < count_ + 8; ++i) same = same && at(i) == marked();
    return same;
  }

 private:
  static std::mt19937& generator() {
    static std::mt19937 generator(1);
    return generator;
  }
  int64_t size() const { return storage_ == StorageType::kFloat32 ? 4 : 2; }
  float marked() const { return storage_ == StorageType::kFloat32 ? kMark : 12352.0F; }
  StorageType storage_;
  int64_t count_, start_ = 0;
  std::vector<char> bytes_;
};

inline Array random_array(StorageType storage, int64_t count, int64_t offset = 0,
                          float scale = 1.0F) {
  return Array(storage, count, Array::Fill::kRandom, offset, scale);
}
/// For results: what a kernel does not write differs from what another writes.
inline Array marked_array(StorageType storage, int64_t count) {
  return Array(storage, count, Array::Fill::kMark);
}

/// max|a - b| / max|b|; infinite where a is no number or something behind a was written.
inline double difference(Array& a, Array& b) {
  double worst = 0.0, largest = 1e-30;
  for (int64_t i = 0; i < b.count(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(b.at(i))));
  for (int64_t i = 0; i < b.count(); ++i) {
    const double one = std::abs(static_cast<double>(a.at(i)) - static_cast<double>(b.at(i)));
    if (!(one < INFINITY)) return INFINITY;
    worst = std::max(worst, one);
  }
  return a.margin_untouched() ? worst / largest : INFINITY;
}

/// float32: other order of sums and other exponentials; bfloat16: half a unit in the last place,
/// where the two round to different neighbours.
inline double tolerance(StorageType storage) {
  return storage == StorageType::kFloat32 ? 5e-6 : 8e-3;
}

constexpr StorageType kStorages[] = {StorageType::kFloat32, StorageType::kBFloat16};
/// Aligned to 16 bytes, and off by one element.
constexpr int64_t kOffsets[] = {0, 1};

}  // namespace titan::testing
