// byte_pairs.h: byte-pair encoding of single words (Sennrich et al. 2016, arXiv:1508.07909, section
// 3.2) by a table of ranked merges.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// The printable character that byte-level vocabularies write for each byte, UTF-8: bytes 33-126,
/// 161-172 and 174-255 for themselves, the other 68 in order from U+0100 on.
const std::array<std::string, 256>& byte_characters();

/// What the last symbol of a word ends in.
inline constexpr const char* kEndOfWord = "</w>";

/// Cuts words into the symbols of a vocabulary.
class BytePairs {
 public:
  /// Symbols and their ids; symbols are written with byte_characters().
  using Vocabulary = std::unordered_map<std::string, std::int64_t>;
  /// Left and right symbol of each merge, the first ranks highest.
  using Merges = std::vector<std::pair<std::string, std::string>>;

  /// A byte that `vocabulary` has no symbol for becomes `unknown_id`. kInvalidArgument names a
  /// merge whose parts or product `vocabulary` lacks. A merge that comes twice has the later rank.
  static StatusOr<BytePairs> build(const Vocabulary& vocabulary, const Merges& merges,
                                   std::int64_t unknown_id);

  /// Buffers of encode(), to be kept from word to word.
  struct Scratch {
    std::vector<std::uint32_t> symbols;
    std::vector<std::uint32_t> ranks;
  };

  /// Appends the ids of one word, bytes without the end mark, not empty. In each round the pair of
  /// neighbours with the lowest rank is merged, everywhere, from left to right. n log n for long
  /// words.
  void encode(std::string_view word, Scratch& scratch, std::vector<std::int64_t>& ids) const;

 private:
  struct Slot {
    std::uint64_t pair = 0;
    std::uint32_t rank = 0;
    std::uint32_t product = 0;
  };

  void insert(std::uint64_t pair, std::uint32_t rank, std::uint32_t product);
  const Slot* find(std::uint32_t left, std::uint32_t right) const;
  std::uint32_t rank_of(std::uint32_t left, std::uint32_t right) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;

  std::vector<std::int64_t> ids_;             ///< of each symbol
  std::array<std::uint32_t, 256> inner_{};    ///< symbol of a byte
  std::array<std::uint32_t, 256> closing_{};  ///< symbol of a byte that ends its word
  std::vector<Slot> slots_;                   ///< open addressing, a power of two
};

}  // namespace titan
