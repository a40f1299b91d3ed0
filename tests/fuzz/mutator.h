// mutator.h: inputs that chance makes of the ones in a corpus, for fuzz_test.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

namespace titan::fuzz {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kLongestInput = 16384;  // as scripts/fuzz.sh

/// The same seed and corpus give the same inputs.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  Input next(const std::vector<Input>& corpus) {
    Input input = corpus[below(corpus.size())];
    for (std::size_t left = 1 + below(6); left > 0; --left) edit(input, corpus);
    input.resize(std::min(input.size(), kLongestInput));
    return input;
  }

 private:
  std::size_t below(std::size_t end) { return random_() % std::max<std::size_t>(end, 1); }

  void edit(Input& input, const std::vector<Input>& corpus) {
    if (input.empty()) input.push_back(0);
    const std::size_t at = below(input.size());
    const std::size_t count = std::min(input.size() - at, std::size_t{1} << below(9));
    const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = begin + static_cast<std::ptrdiff_t>(count);
    switch (below(7)) {
      case 0:
        input[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1:
        input[at] = static_cast<std::uint8_t>(random_());
        break;
      case 2:
        input.erase(begin, end);
        break;
      case 3: {
        const Input piece(begin, end);
        const std::size_t to = below(input.size() + 1);
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(to), piece.begin(), piece.end());
        break;
      }
      case 4:
        number(input, at);
        break;
      case 5:
        digits(input, at);
        break;
      default: {  // the end of another input
        const Input& other = corpus[below(corpus.size())];
        const auto from = static_cast<std::ptrdiff_t>(below(other.size()));
        input.resize(at);
        input.insert(input.end(), other.begin() + from, other.end());
      }
    }
  }

  /// Sizes that overflow, in 2, 4 or 8 bytes of either order.
  void number(Input& input, std::size_t at) {
    constexpr std::int64_t kSizes[] = {0,       1,         -1,         127,          255,
                                       32767,   65535,     0x7FFFFFFF, 0xFFFFFFFF,   -8,
                                       1 << 20, INT64_MAX, INT64_MIN,  INT64_MAX / 8};
    const auto value = static_cast<std::uint64_t>(kSizes[below(std::size(kSizes))]);
    const std::size_t bytes = std::size_t{2} << below(3);
    const bool big_endian = below(2) == 1;
    for (std::size_t i = 0; i < bytes && at + i < input.size(); ++i) {
      const std::size_t place = big_endian ? bytes - 1 - i : i;
      input[at + i] = static_cast<std::uint8_t>(value >> (8 * place));
    }
  }

  /// The next decimal number of a text becomes a larger one.
  void digits(Input& input, std::size_t at) {
    constexpr std::string_view kNumbers[] = {"-1", "0", "99999999999", "9223372036854775807",
                                             "1e999"};
    const auto is_digit = [](std::uint8_t byte) { return byte >= '0' && byte <= '9'; };
    const auto begin =
        std::find_if(input.begin() + static_cast<std::ptrdiff_t>(at), input.end(), is_digit);
    if (begin == input.end()) return;
    const auto end = std::find_if_not(begin, input.end(), is_digit);
    const std::string_view text = kNumbers[below(std::size(kNumbers))];
    const auto behind = input.erase(begin, end);
    input.insert(behind, text.begin(), text.end());
  }

  std::mt19937_64 random_;
};

}  // namespace titan::fuzz
