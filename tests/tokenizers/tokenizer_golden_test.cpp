// Ids equal to the reference's slow tokenizers, text by text (golden/encoders/README.md).
#include "tests/support/catch.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "titan/tokenizers/clip_tokenizer.h"
#include "titan/tokenizers/t5_tokenizer.h"

#include "tests/support/golden_root.h"

namespace fs = std::filesystem;
using titan::Tokenizer;

namespace {

using Ids = std::vector<std::int64_t>;

struct Row {
  std::string text;
  Ids ids;
};

std::vector<Row> read_rows(const fs::path& path) {
  std::vector<Row> rows;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    rows.push_back({json.at("text"), json.at("ids")});
  }
  return rows;
}

/// Equal-score splits that another release of sentencepiece decides otherwise: text -> other ids,
/// padding cut off.
std::map<std::string, Ids> other_splits(const fs::path& encoders) {
  std::map<std::string, Ids> splits;
  std::ifstream file(encoders / "tokenizers_newer.json");
  if (!file) return splits;
  const auto json = nlohmann::json::parse(file);
  for (const auto& row : json.at("sentencepiece").at("rows"))
    splits[row.at("text")] = row.at("ids_newer").get<Ids>();
  return splits;
}

/// The folders of `kind` ("t5", "clip") that hold the tokenizer's file, with the rows to check.
std::optional<fs::path> encoders_folder() {
  const auto root = titan::testing::golden_root();
  if (!root || !fs::is_directory(*root / "encoders")) return std::nullopt;
  return *root / "encoders";
}

fs::path folder_holding(const fs::path& parent, const std::string& file) {
  for (const auto& entry : fs::directory_iterator(parent))
    if (fs::exists(entry.path() / file)) return entry.path();
  return parent;
}

/// Encodes every row at its own length; says which texts differ.
std::size_t count_different(const Tokenizer& tokenizer, const std::vector<Row>& rows,
                            const std::map<std::string, Ids>& accepted = {}) {
  std::size_t num_different = 0;
  for (const Row& row : rows) {
    Ids ids(row.ids.size());
    tokenizer.encode(row.text, ids);
    if (ids == row.ids) continue;
    const auto other = accepted.find(row.text);
    if (other != accepted.end()) {
      Ids expected = other->second;
      expected.resize(ids.size(), 0);
      if (ids == expected) continue;
    }
    ++num_different;
    std::printf("differs: %s\n", row.text.substr(0, 120).c_str());
  }
  return num_different;
}

}  // namespace

TEST_CASE("T5's ids are the reference's on every golden text, at every length",
          "[tokenizers][golden]") {
  const auto encoders = encoders_folder();
  if (!encoders) TITAN_SKIP(titan::testing::kNoGolden);
  const fs::path model = folder_holding(*encoders / "t5", "spiece.model") / "spiece.model";
  const auto tokenizer = titan::open_t5_tokenizer(model.string());
  REQUIRE(tokenizer.ok());
  const auto accepted = other_splits(*encoders);
  for (const char* name : {"tokenizer.jsonl", "tokenizer_lengths.jsonl"}) {
    const std::vector<Row> rows = read_rows(*encoders / "t5" / name);
    REQUIRE(!rows.empty());
    std::printf("T5 %s: %zu texts\n", name, rows.size());
    REQUIRE(count_different(**tokenizer, rows, accepted) == 0);
  }
  std::ifstream file(*encoders / "t5" / "tokenizer.json");
  const auto json = nlohmann::json::parse(file);
  REQUIRE((*tokenizer)->vocabulary_size() ==
          json.at("pieces").get<std::int64_t>() + json.at("extra_ids").get<std::int64_t>());
  REQUIRE(titan::check_vocabulary(**tokenizer, json.at("embedding_rows"), "t5").ok());
}

TEST_CASE("CLIP's ids are the reference's on every golden text", "[tokenizers][golden]") {
  const auto encoders = encoders_folder();
  if (!encoders) TITAN_SKIP(titan::testing::kNoGolden);
  const fs::path folder = folder_holding(*encoders / "clip", "merges.txt");
  const auto tokenizer = titan::open_clip_tokenizer((folder / "vocab.json").string(),
                                                    (folder / "merges.txt").string());
  REQUIRE(tokenizer.ok());
  const std::vector<Row> rows = read_rows(*encoders / "clip" / "tokenizer.jsonl");
  REQUIRE(!rows.empty());
  std::printf("CLIP tokenizer.jsonl: %zu texts\n", rows.size());
  REQUIRE(count_different(**tokenizer, rows) == 0);
}

TEST_CASE("OpenAI's own vocabulary file gives the same ids as the published pair of files",
          "[tokenizers][golden]") {
  const auto encoders = encoders_folder();
  const fs::path path = "../shared/data/clip/bpe_simple_vocab_16e6.txt.gz";
  if (!encoders || !fs::exists(path)) TITAN_SKIP("no ../shared/data/clip");
  const auto tokenizer = titan::open_openai_clip_tokenizer(path.string());
  REQUIRE(tokenizer.ok());
  REQUIRE((*tokenizer)->vocabulary_size() == 49408);
  REQUIRE(count_different(**tokenizer, read_rows(*encoders / "clip" / "tokenizer.jsonl")) == 0);
}

TEST_CASE("many threads give what one gives", "[tokenizers][golden]") {
  const auto encoders = encoders_folder();
  if (!encoders) TITAN_SKIP(titan::testing::kNoGolden);
  const fs::path model = folder_holding(*encoders / "t5", "spiece.model") / "spiece.model";
  const auto tokenizer = titan::open_t5_tokenizer(model.string());
  REQUIRE(tokenizer.ok());
  std::vector<std::string> texts;
  for (const Row& row : read_rows(*encoders / "t5" / "tokenizer.jsonl")) texts.push_back(row.text);
  const Ids alone = titan::encode_all(**tokenizer, texts, 32, 1);
  REQUIRE(alone.size() == texts.size() * 32);
  REQUIRE(titan::encode_all(**tokenizer, texts, 32, 4) == alone);
  REQUIRE(titan::encode_all(**tokenizer, {}, 32, 4).empty());
}
