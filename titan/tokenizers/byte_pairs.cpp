#include "titan/tokenizers/byte_pairs.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>

#include "titan/base/check.h"
#include "titan/base/printable.h"
#include "titan/tokenizers/utf8.h"

namespace titan {
namespace {

constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();
/// A rank to be looked up again; above every rank, too.
constexpr std::uint32_t kStale = kNoRank - 1;
constexpr std::uint64_t kFree = std::numeric_limits<std::uint64_t>::max();
/// Above this many symbols the queue is faster than looking at all pairs in each round.
constexpr std::size_t kShortWord = 48;

std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
  return (static_cast<std::uint64_t>(left) << 32) | right;
}

std::uint64_t hash_of(std::uint64_t key) {
  key *= 0x9E3779B97F4A7C15ULL;
  return key ^ (key >> 32);
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> characters = [] {
    std::array<std::string, 256> made;
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < made.size(); ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
                             (byte >= 174 && byte <= 255);
      append_utf8(made[byte], printable ? byte : next++);
    }
    return made;
  }();
  return characters;
}

StatusOr<BytePairs> BytePairs::build(const Vocabulary& vocabulary, const Merges& merges,
                                     std::int64_t unknown_id) {
  BytePairs pairs;
  std::unordered_map<std::string, std::uint32_t> symbols;
  const auto add = [&](const std::string& symbol, std::int64_t id) {
    const auto number = static_cast<std::uint32_t>(pairs.ids_.size());
    if (const auto [entry, is_new] = symbols.emplace(symbol, number); !is_new) return entry->second;
    pairs.ids_.push_back(id);
    return number;
  };
  for (std::size_t byte = 0; byte < 256; ++byte)
    for (const bool closes : {false, true}) {
      const std::string symbol = byte_characters()[byte] + (closes ? kEndOfWord : "");
      const auto found = vocabulary.find(symbol);
      (closes ? pairs.closing_ : pairs.inner_)[byte] =
          add(symbol, found == vocabulary.end() ? unknown_id : found->second);
    }
  pairs.slots_.assign(std::bit_ceil(2 * merges.size() + 2), {.pair = kFree});
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const std::string product = left + right;
    for (const std::string* symbol : {&left, &right, &product})
      if (vocabulary.find(*symbol) == vocabulary.end())
        return invalid_argument("merge ", rank + 1, " (", printable(left), " ", printable(right),
                                ") needs the symbol ", printable(*symbol),
                                ", which the vocabulary has not");
    const auto number = [&](const std::string& symbol) {
      return add(symbol, vocabulary.at(symbol));
    };
    pairs.insert(pair_key(number(left), number(right)), static_cast<std::uint32_t>(rank),
                 number(product));
  }
  return pairs;
}

void BytePairs::insert(std::uint64_t pair, std::uint32_t rank, std::uint32_t product) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t place = hash_of(pair) & mask;
  while (slots_[place].pair != kFree && slots_[place].pair != pair) place = (place + 1) & mask;
  slots_[place] = {.pair = pair, .rank = rank, .product = product};
}

const BytePairs::Slot* BytePairs::find(std::uint32_t left, std::uint32_t right) const {
  const std::uint64_t pair = pair_key(left, right);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t place = hash_of(pair) & mask;; place = (place + 1) & mask) {
    if (slots_[place].pair == pair) return &slots_[place];
    if (slots_[place].pair == kFree) return nullptr;
  }
}

std::uint32_t BytePairs::rank_of(std::uint32_t left, std::uint32_t right) const {
  const Slot* slot = find(left, right);
  return slot == nullptr ? kNoRank : slot->rank;
}

void BytePairs::encode(std::string_view word, Scratch& scratch,
                       std::vector<std::int64_t>& ids) const {
  TITAN_DCHECK(!word.empty(), "[byte pairs] a word must not be empty");
  std::vector<std::uint32_t>& symbols = scratch.symbols;
  symbols.clear();
  for (const char letter : word.substr(0, word.size() - 1))
    symbols.push_back(inner_[static_cast<std::uint8_t>(letter)]);
  symbols.push_back(closing_[static_cast<std::uint8_t>(word.back())]);
  if (symbols.size() > kShortWord)
    merge_long(scratch);
  else
    merge_short(scratch);
  for (const std::uint32_t symbol : symbols) ids.push_back(ids_[symbol]);
}

void BytePairs::merge_short(Scratch& scratch) const {
  std::vector<std::uint32_t>& symbols = scratch.symbols;
  std::vector<std::uint32_t>& ranks = scratch.ranks;  // of the pair (i, i + 1)
  ranks.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
    ranks.push_back(rank_of(symbols[i], symbols[i + 1]));
  while (!ranks.empty()) {
    const std::uint32_t lowest = *std::min_element(ranks.begin(), ranks.end());
    if (lowest == kNoRank) return;
    // A rank belongs to one pair, so equal ranks are equal pairs.
    const auto at = [&](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      if (ranks[i] != lowest) continue;
      symbols[i] = find(symbols[i], symbols[i + 1])->product;
      symbols.erase(symbols.begin() + at(i + 1));
      ranks.erase(ranks.begin() + at(i));
      // Marked, not ranked: what a round makes is merged in a later one.
      if (i > 0) ranks[i - 1] = kStale;
      if (i < ranks.size()) ranks[i] = kStale;
    }
    for (std::size_t i = 0; i < ranks.size(); ++i)
      if (ranks[i] == kStale) ranks[i] = rank_of(symbols[i], symbols[i + 1]);
  }
}

void BytePairs::merge_long(Scratch& scratch) const {
  std::vector<std::uint32_t>& symbols = scratch.symbols;
  constexpr std::uint32_t kGone = kNoRank;
  const auto size = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint32_t> next(size), previous(size);
  // A pair that was, by rank and then by place; both its symbols tell whether it still is.
  using Candidate = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  std::vector<Candidate> made;
  const auto propose = [&](std::uint32_t i) {
    if (next[i] == size) return;
    const std::uint32_t rank = rank_of(symbols[i], symbols[next[i]]);
    if (rank != kNoRank) made.emplace_back(rank, i, symbols[i], symbols[next[i]]);
  };
  for (std::uint32_t i = 0; i < size; ++i) {
    next[i] = i + 1;
    previous[i] = i == 0 ? size : i - 1;
  }
  for (std::uint32_t i = 0; i < size; ++i) propose(i);
  while (!made.empty() || !queue.empty()) {
    for (const Candidate& candidate : made) queue.push(candidate);
    made.clear();
    const std::uint32_t lowest = std::get<0>(queue.top());
    while (!queue.empty() && std::get<0>(queue.top()) == lowest) {
      const auto [rank, i, left, right] = queue.top();
      queue.pop();
      if (symbols[i] != left || next[i] == size || symbols[next[i]] != right) continue;
      const std::uint32_t gone = next[i];
      symbols[i] = find(left, right)->product;
      symbols[gone] = kGone;
      next[i] = next[gone];
      if (next[i] != size) previous[next[i]] = i;
      if (previous[i] != size) propose(previous[i]);
      propose(i);
    }
  }
  symbols.erase(std::remove(symbols.begin(), symbols.end(), kGone), symbols.end());
}

}  // namespace titan
