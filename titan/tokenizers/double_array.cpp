#include "titan/tokenizers/double_array.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace titan {

/// Places nodes one by one, each node's children at once.
class DoubleArrayBuilder {
 public:
  using Entries = std::span<const std::pair<std::string, std::int32_t>>;

  bool place(Entries entries, std::size_t depth, DoubleArray::Node node) {
    // One child for each next letter; 0 stands for the end of a key, which sorts first.
    std::vector<std::uint32_t> letters;
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const std::string& key = entries[i].first;
      const std::uint32_t letter = depth < key.size() ? static_cast<std::uint8_t>(key[depth]) : 0U;
      if (!letters.empty() && letters.back() == letter) continue;
      letters.push_back(letter);
      begins.push_back(i);
    }
    begins.push_back(entries.size());
    const std::uint32_t base = find_base(letters);
    const std::uint32_t offset = node ^ base;
    if (offset >= kMaxOffset) return false;
    units_[node] |= offset << 10;
    if (base >= bases_.size()) bases_.resize(2 * (base + 1), false);
    bases_[base] = true;
    for (const std::uint32_t letter : letters) take(base ^ letter);
    for (std::size_t i = 0; i < letters.size(); ++i) {
      const Entries below = entries.subspan(begins[i], begins[i + 1] - begins[i]);
      const std::uint32_t child = base ^ letters[i];
      if (letters[i] == 0) {
        units_[node] |= DoubleArray::kHasValue;
        units_[child] = static_cast<std::uint32_t>(below.front().second) | DoubleArray::kValueBit;
      } else {
        units_[child] = letters[i];
        if (!place(below, depth + 1, child)) return false;
      }
    }
    return true;
  }

  std::vector<std::uint32_t> take_units() { return std::move(units_); }

 private:
  static constexpr std::uint32_t kMaxOffset = 1U << 21;  // without the wide form
  static constexpr int kMaxTries = 256;  // then a fresh block: speed for a little room

  std::uint32_t find_base(const std::vector<std::uint32_t>& letters) {
    while (first_free_ < used_.size() && used_[first_free_]) ++first_free_;
    int tries = 0;
    for (std::uint32_t slot = first_free_; slot < used_.size() && tries < kMaxTries; ++slot) {
      if (used_[slot]) continue;
      ++tries;
      const std::uint32_t base = slot ^ letters.front();
      // A base of two nodes would mix up their children: labels do not name the parent.
      if (base < bases_.size() && bases_[base]) continue;
      if (std::none_of(letters.begin(), letters.end(),
                       [&](std::uint32_t letter) { return is_used(base ^ letter); }))
        return base;
    }
    // What was tried that often is as good as full.
    if (tries == kMaxTries) first_free_ += kMaxTries / 16;
    return ((static_cast<std::uint32_t>(used_.size()) + 0xFFU) & ~0xFFU) ^ letters.front();
  }

  bool is_used(std::uint32_t slot) const { return slot < used_.size() && used_[slot]; }

  void take(std::uint32_t slot) {
    if (slot >= used_.size()) {
      const std::size_t size = (slot | 0xFFU) + 1;
      used_.resize(size, false);
      // A free unit must look like no letter's.
      units_.resize(size, DoubleArray::kValueBit);
    }
    used_[slot] = true;
    units_[slot] = 0;
  }

  std::vector<bool> used_ = {true};
  std::vector<bool> bases_;
  std::vector<std::uint32_t> units_ = {0};  // the root
  std::uint32_t first_free_ = 1;
};

DoubleArray DoubleArray::from_bytes(std::string_view bytes) {
  DoubleArray trie;
  const std::size_t count = bytes.size() / sizeof(std::uint32_t);
  if (count == 0) return trie;
  trie.units_.resize(count);
  std::memcpy(trie.units_.data(), bytes.data(), count * sizeof(std::uint32_t));
  return trie;
}

std::optional<DoubleArray> DoubleArray::build(
    std::vector<std::pair<std::string, std::int32_t>> entries) {
  DoubleArray trie;
  if (entries.empty()) return trie;
  std::sort(entries.begin(), entries.end());
  DoubleArrayBuilder builder;
  if (!builder.place(entries, 0, kRoot)) return std::nullopt;
  trie.units_ = builder.take_units();
  return trie;
}

}  // namespace titan
