#include "tests/support/catch.h"

#include "titan/tokenizers/double_array.h"

#include <map>

#include "titan/base/philox.h"

using titan::DoubleArray;

namespace {

/// The value of `key`, or -1.
std::int32_t find(const DoubleArray& trie, const std::string& key) {
  DoubleArray::Node node = DoubleArray::kRoot;
  for (const char letter : key)
    if (!trie.step(node, static_cast<std::uint8_t>(letter))) return -1;
  return trie.value_at(node);
}

}  // namespace

TEST_CASE("a trie finds its keys and nothing else", "[tokenizers]") {
  std::map<std::string, std::int32_t> keys;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    std::string key(1 + titan::random_below(6, 0, titan::RandomPurpose::kSynthetic, i, 0), ' ');
    for (std::uint32_t at = 0; at < key.size(); ++at)
      key[at] = static_cast<char>(
          1 + titan::random_below(at == 0 ? 255 : 24, 0, titan::RandomPurpose::kNoise, i, 0, at));
    keys.emplace(key, static_cast<std::int32_t>(i));
  }
  const auto trie = DoubleArray::build({keys.begin(), keys.end()});
  REQUIRE(trie);
  for (const auto& [key, value] : keys) REQUIRE(find(*trie, key) == value);
  for (const auto& [key, value] : keys)
    for (const char* more : {"\x01", "\xFF", "x"}) {
      const auto expected = keys.find(key + more);
      REQUIRE(find(*trie, key + more) == (expected == keys.end() ? -1 : expected->second));
    }
  REQUIRE(find(*trie, std::string(1, '\0')) == -1);
  REQUIRE(find(*trie, keys.begin()->first + std::string(1, '\0')) == -1);
}

TEST_CASE("empty and damaged tries find nothing outside themselves", "[tokenizers]") {
  REQUIRE(find(*DoubleArray::build({}), "a") == -1);
  REQUIRE(find(DoubleArray::from_bytes("abc"), "a") == -1);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::string bytes(64, '\0');
    for (std::uint32_t i = 0; i < bytes.size(); ++i)
      bytes[i] =
          static_cast<char>(titan::random_below(256, seed, titan::RandomPurpose::kNoise, 0, 0, i));
    const DoubleArray trie = DoubleArray::from_bytes(bytes);
    for (int letter = 0; letter < 256; ++letter) {
      DoubleArray::Node node = DoubleArray::kRoot;
      for (int step = 0; step < 8 && trie.step(node, static_cast<std::uint8_t>(letter)); ++step)
        REQUIRE(trie.value_at(node) >= -1);
    }
  }
}
