#include "titan/tokenizers/byte_pair_trainer.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "titan/tokenizers/clip_text.h"
#include "titan/tokenizers/clip_vocabulary.h"
#include "titan/tokenizers/utf8.h"

namespace titan {
namespace {

using Pair = std::pair<std::string, std::string>;

struct CountedWord {
  std::vector<std::string> symbols;
  std::int64_t count = 0;
};

std::vector<CountedWord> count_words(const std::vector<std::string>& texts) {
  std::map<std::string, std::int64_t> counts;
  std::string repaired;
  for (const std::string& text : texts)
    split_clip_text(well_formed_utf8(text, repaired), [&](const ClipWord& word) {
      if (word.kind == ClipWord::Kind::kText) ++counts[std::string(word.bytes)];
      return true;
    });
  std::vector<CountedWord> words;
  for (const auto& [word, count] : counts) {
    CountedWord counted{.symbols = {}, .count = count};
    for (const char letter : word)
      counted.symbols.push_back(byte_characters()[static_cast<std::uint8_t>(letter)]);
    counted.symbols.back() += kEndOfWord;
    words.push_back(std::move(counted));
  }
  return words;
}

/// How often each pair occurs, and in which words.
class PairTable {
 public:
  explicit PairTable(std::vector<CountedWord> words) : words_(std::move(words)) {
    for (std::size_t i = 0; i < words_.size(); ++i) add(i, +1);
  }

  bool empty() const { return pairs_.empty(); }

  /// The most frequent pair; of equal ones the first.
  Pair best() const {
    return std::max_element(
               pairs_.begin(), pairs_.end(),
               [](const auto& a, const auto& b) { return a.second.count < b.second.count; })
        ->first;
  }

  void merge(const Pair& pair) {
    const std::set<std::size_t> holders = pairs_.at(pair).words;
    for (const std::size_t i : holders) {
      add(i, -1);
      std::vector<std::string>& symbols = words_[i].symbols;
      std::vector<std::string> merged;
      for (std::size_t at = 0; at < symbols.size(); ++at) {
        const bool here =
            at + 1 < symbols.size() && symbols[at] == pair.first && symbols[at + 1] == pair.second;
        merged.push_back(here ? pair.first + pair.second : symbols[at]);
        if (here) ++at;
      }
      symbols = std::move(merged);
      add(i, +1);
    }
  }

 private:
  struct Entry {
    std::int64_t count = 0;
    std::set<std::size_t> words;
  };

  void add(std::size_t word, std::int64_t sign) {
    const auto& [symbols, count] = words_[word];
    for (std::size_t at = 0; at + 1 < symbols.size(); ++at) {
      const Pair pair(symbols[at], symbols[at + 1]);
      Entry& entry = pairs_[pair];
      entry.count += sign * count;
      if (sign > 0)
        entry.words.insert(word);
      else
        entry.words.erase(word);
      if (entry.count == 0) pairs_.erase(pair);
    }
  }

  std::vector<CountedWord> words_;
  std::map<Pair, Entry> pairs_;
};

}  // namespace

BytePairs::Merges learn_byte_pairs(const std::vector<std::string>& texts, std::size_t max_merges) {
  PairTable table(count_words(texts));
  BytePairs::Merges merges;
  while (!table.empty() && merges.size() < max_merges) {
    merges.push_back(table.best());
    table.merge(merges.back());
  }
  return merges;
}

ClipFiles clip_files(const BytePairs::Merges& merges) {
  ClipFiles files;
  files.merges_txt = "#version: 0.2\n";
  for (const auto& [left, right] : merges) files.merges_txt += left + " " + right + "\n";
  // Line by line: an ordered object of the library looks every key up.
  for (const std::string& symbol : openai_symbols(merges)) {
    files.vocab_json += files.num_ids == 0 ? "{" : ",\n";
    files.vocab_json += nlohmann::json(symbol).dump() + ": " + std::to_string(files.num_ids);
    ++files.num_ids;
  }
  files.vocab_json += "}\n";
  return files;
}

}  // namespace titan
