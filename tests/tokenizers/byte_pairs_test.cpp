#include "tests/support/catch.h"

#include "titan/tokenizers/byte_pairs.h"

#include <algorithm>
#include <limits>
#include <map>

#include "titan/base/philox.h"

using titan::BytePairs;
using Ids = std::vector<std::int64_t>;

namespace {

/// The rule, word for word: in each round the lowest-ranked pair, everywhere, left to right.
std::vector<std::string> merge_by_rule(const std::string& word, const BytePairs::Merges& merges) {
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) ranks[merges[rank]] = rank;
  std::vector<std::string> symbols;
  for (const char letter : word) symbols.emplace_back(1, letter);
  symbols.back() += titan::kEndOfWord;
  for (;;) {
    std::size_t lowest = std::numeric_limits<std::size_t>::max();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
      if (const auto found = ranks.find({symbols[i], symbols[i + 1]}); found != ranks.end())
        lowest = std::min(lowest, found->second);
    if (lowest == std::numeric_limits<std::size_t>::max()) return symbols;
    std::vector<std::string> merged;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 < symbols.size() && std::pair(symbols[i], symbols[i + 1]) == merges[lowest]) {
        merged.push_back(symbols[i] + symbols[i + 1]);
        ++i;
      } else {
        merged.push_back(symbols[i]);
      }
    }
    symbols = std::move(merged);
  }
}

/// Random merges over few letters, each of symbols that exist; some products arise in two ways, and
/// a later merge may rank above what makes its parts.
struct Table {
  BytePairs::Vocabulary vocabulary;
  BytePairs::Merges merges;
};

Table random_table(std::uint64_t seed, std::size_t num_merges) {
  Table table;
  std::vector<std::string> symbols = {"a", "b", "c", "a</w>", "b</w>", "c</w>"};
  for (const std::string& symbol : symbols)
    table.vocabulary.emplace(symbol, static_cast<std::int64_t>(table.vocabulary.size()));
  for (std::uint32_t draw = 0; table.merges.size() < num_merges; ++draw) {
    const auto pick = [&](std::uint32_t index) {
      return symbols[titan::random_below(static_cast<std::uint32_t>(symbols.size()), seed,
                                         titan::RandomPurpose::kSynthetic, draw, 0, index)];
    };
    const std::string left = pick(0), right = pick(1);
    if (left.ends_with(titan::kEndOfWord)) continue;
    if (std::find(table.merges.begin(), table.merges.end(), std::pair(left, right)) !=
        table.merges.end())
      continue;
    table.merges.emplace_back(left, right);
    if (table.vocabulary.emplace(left + right, static_cast<std::int64_t>(table.vocabulary.size()))
            .second)
      symbols.push_back(left + right);
  }
  for (std::size_t i = table.merges.size() - 1; i > 0; --i)  // shuffled: ranks are in no order
    std::swap(table.merges[i],
              table.merges[titan::random_below(static_cast<std::uint32_t>(i + 1), seed,
                                               titan::RandomPurpose::kDataOrder, i, 0)]);
  return table;
}

}  // namespace

TEST_CASE("words of any length are merged as the rule says", "[tokenizers]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Table table = random_table(seed, 25);
    const auto pairs = BytePairs::build(table.vocabulary, table.merges, 999);
    REQUIRE(pairs.ok());
    BytePairs::Scratch scratch;
    for (std::uint32_t i = 0; i < 60; ++i) {
      // Both sides of the border between the two ways of merging.
      std::string word(1 + 3 * i, 'a');
      for (std::uint32_t at = 0; at < word.size(); ++at)
        word[at] = static_cast<char>(
            'a' + titan::random_below(3, seed, titan::RandomPurpose::kNoise, i, 0, at));
      Ids expected;
      for (const std::string& symbol : merge_by_rule(word, table.merges))
        expected.push_back(table.vocabulary.at(symbol));
      Ids ids;
      pairs->encode(word, scratch, ids);
      CAPTURE(seed, word);
      REQUIRE(ids == expected);
    }
  }
}

TEST_CASE("every byte has one printable character of its own", "[tokenizers]") {
  std::vector<std::string> all(titan::byte_characters().begin(), titan::byte_characters().end());
  REQUIRE(all['A'] == "A");
  REQUIRE(all[0] == "\u0100");
  REQUIRE(all[' '] == "\u0120");
  REQUIRE(all[0xAD] == "\u0143");
  REQUIRE(all[0xFF] == "\u00FF");
  std::sort(all.begin(), all.end());
  REQUIRE(std::unique(all.begin(), all.end()) == all.end());
}

TEST_CASE("a byte without a symbol is unknown, a merge without one is refused", "[tokenizers]") {
  const BytePairs::Vocabulary vocabulary = {{"a", 0}, {"b", 1}, {"b</w>", 2}, {"ab</w>", 3}};
  const auto pairs = BytePairs::build(vocabulary, {{"a", "b</w>"}}, 7);
  REQUIRE(pairs.ok());
  BytePairs::Scratch scratch;
  Ids ids;
  for (const char* word : {"ab", "b", "ca", "a"}) pairs->encode(word, scratch, ids);
  REQUIRE(ids == Ids{3, 2, 7, 7, 7});
  const auto refused = BytePairs::build(vocabulary, {{"a", "b</w>"}, {"b", "a"}}, 7);
  REQUIRE(titan::message_of(refused.status()) ==
          "merge 2 (b a) needs the symbol ba, which the vocabulary has not");
}
