#include "tests/support/catch.h"

#include "titan/tokenizers/t5_tokenizer.h"

#include <algorithm>
#include <chrono>

#include "titan/base/philox.h"
#include "titan/tokenizers/sentence_piece_loader.h"
#include "titan/tokenizers/sentence_piece_trainer.h"
#include "titan/tokenizers/unigram_model.h"

#include "tests/support/temporary_folder.h"

using Ids = std::vector<std::int64_t>;
using titan::Tokenizer;
using titan::testing::TemporaryFolder;

namespace {

/// A model of the library's trainer and its tokenizer.
struct SmallModel {
  TemporaryFolder folder;
  std::string bytes;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<titan::SentencePieces> library;

  SmallModel() {
    std::vector<std::string> texts;
    for (const char* color : {"red", "green", "blue", "black", "white"})
      for (const char* shape : {"circle", "square", "star", "heart"}) {
        texts.push_back(titan::str_cat("a ", color, " ", shape, " on a grey background"));
        texts.push_back(titan::str_cat("a picture of a ", shape, " in ", color, ", 1,000 of 100"));
      }
    bytes = titan::train_sentence_pieces(texts, 120).value();
    tokenizer = titan::open_t5_tokenizer(folder.write("spiece.model", bytes)).value();
    std::string error;
    library = titan::sentence_piece_module().value()->load(bytes, error);
  }

  Ids encode(const std::string& text, std::size_t length) const {
    Ids ids(length, -1);
    tokenizer->encode(text, ids);
    return ids;
  }
  /// The text's pieces as the library gives them, and padding.
  Ids by_library(const std::string& text, std::size_t length) const {
    Ids ids;
    for (const auto& piece : library->encode(text)) ids.push_back(piece.id);
    ids.resize(std::min(ids.size(), length - 1));
    ids.push_back(1);
    ids.resize(length, 0);
    return ids;
  }
  std::int64_t sentinel(int n) const { return library->num_pieces() + 99 - n; }
};

const SmallModel& small_model() {
  static const SmallModel model;
  return model;
}

std::string error_of(const std::string& path) {
  return titan::message_of(titan::open_t5_tokenizer(path).status());
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("ids are the pieces, the end and padding", "[tokenizers]") {
  const SmallModel& model = small_model();
  REQUIRE(titan::UnigramModel::parse(model.bytes));
  REQUIRE(model.tokenizer->vocabulary_size() == model.library->num_pieces() + 100);
  REQUIRE(model.encode("", 4) == Ids{1, 0, 0, 0});
  REQUIRE(model.encode("  \n ", 3) == Ids{1, 0, 0});
  REQUIRE(model.encode("a red circle", 16) == model.by_library("a red circle", 16));
  const Ids cut = model.encode("a red circle on a grey background", 4);
  REQUIRE(cut.back() == 1);
  REQUIRE(std::count(cut.begin(), cut.end(), 0) == 0);
  REQUIRE(model.encode("red", 1) == Ids{1});
  Ids none;
  REQUIRE_THROWS_AS(model.tokenizer->encode("red", none), titan::Error);
}

TEST_CASE("literal special tokens are single ids, sentinels take the spaces around them",
          "[tokenizers]") {
  const SmallModel& model = small_model();
  const std::int64_t red = model.encode("red", 2).front();
  REQUIRE(red == model.library->id_of("\u2581red"));
  REQUIRE(model.encode("</s>", 4) == Ids{1, 0, 0, 0});  // the end is not added twice
  REQUIRE(model.encode("red</s>", 4) == Ids{red, 1, 0, 0});
  REQUIRE(model.encode("red<pad>red<unk>", 6) == Ids{red, 0, red, 2, 1, 0});
  REQUIRE(model.encode("<extra_id_0>", 3) == Ids{model.sentinel(0), 1, 0});
  REQUIRE(model.encode("red <extra_id_99> \u3000red", 5) ==
          Ids{red, model.sentinel(99), red, 1, 0});
  REQUIRE(model.encode("<extra_id_7> <extra_id_8>", 4) ==
          Ids{model.sentinel(7), model.sentinel(8), 1, 0});
  // Not among the hundred, or not closed: plain text.
  for (const char* text : {"<extra_id_100>", "<extra_id_01>", "<extra_id_", "<", "< /s>", "</S>"})
    REQUIRE(model.encode(text, 40) == model.by_library(text, 40));
}

TEST_CASE("random texts get the ids that the library gives", "[tokenizers]") {
  const SmallModel& model = small_model();
  const std::vector<std::string> parts = {
      "red",  " ",  "circle", "0",      "1,000",  "a",      "  ",     "\u00E9", "e\u0301",
      "\t",   "st", "sq",     "\u2581", "x",      "\uFF41", "\u4E2D", "000",    "\u200B",
      "back", "gr", "e",      "ey",     "\uFB01", "\u00A0", ",",      "\u0001", "\U0001F600"};
  for (std::uint64_t sample = 0; sample < 3000; ++sample) {
    std::string text;
    const std::uint32_t length =
        titan::random_below(24, 1, titan::RandomPurpose::kSynthetic, sample, 0);
    for (std::uint32_t i = 0; i < length; ++i)
      text += parts[titan::random_below(static_cast<std::uint32_t>(parts.size()), 1,
                                        titan::RandomPurpose::kNoise, sample, 0, i)];
    CAPTURE(text);
    REQUIRE(model.encode(text, 64) == model.by_library(text, 64));
  }
}

TEST_CASE("models that the fast way does not know are segmented by the library", "[tokenizers]") {
  const std::vector<std::string> texts = {"a red circle", "a green square", "one blue star"};
  for (const auto& [setting, value] : std::vector<std::pair<std::string, std::string>>{
           {"model_type", "bpe"}, {"user_defined_symbols", "red"}, {"byte_fallback", "true"}}) {
    std::string error;
    const std::string bytes = titan::sentence_piece_module().value()->train(
        {{"vocab_size", setting == "byte_fallback" ? "300" : "40"},
         {"hard_vocab_limit", setting == "model_type" ? "true" : "false"},
         {"pad_id", "0"},
         {"eos_id", "1"},
         {"unk_id", "2"},
         {"bos_id", "-1"},
         {"minloglevel", "2"},
         {setting, value}},
        texts, error);
    CAPTURE(setting, error);
    REQUIRE(error.empty());
    REQUIRE(!titan::UnigramModel::parse(bytes));
    const TemporaryFolder folder;
    const auto tokenizer = titan::open_t5_tokenizer(folder.write("spiece.model", bytes));
    REQUIRE(tokenizer.ok());
    const auto library = titan::sentence_piece_module().value()->load(bytes, error);
    Ids expected;
    for (const auto& piece : library->encode("a red star")) expected.push_back(piece.id);
    expected.push_back(1);
    expected.resize(24, 0);
    Ids ids(24);
    (*tokenizer)->encode("a red star", ids);
    REQUIRE(ids == expected);
  }
}

TEST_CASE("malformed bytes count as U+FFFD", "[tokenizers]") {
  const SmallModel& model = small_model();
  REQUIRE(model.encode("red\xFF"
                       "circle \xE2\x82",
                       16) == model.encode("red\uFFFD"
                                           "circle \uFFFD",
                                           16));
  REQUIRE(model.encode(std::string("red\0circle", 10), 16) ==
          model.by_library(std::string("red\0circle", 10), 16));
}

TEST_CASE("a caption of ten thousand words takes no time", "[tokenizers]") {
  const SmallModel& model = small_model();
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "circle ";
  const auto begin = std::chrono::steady_clock::now();
  const Ids ids = model.encode(many, 256);
  REQUIRE(ids == model.by_library(many, 256));
  model.encode(std::string(100'000, '<'), 256);
  model.encode(std::string(100'000, 'q'), 256);
  REQUIRE(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("a spiece.model that is absent, damaged or of another kind is named", "[tokenizers]") {
  const SmallModel& model = small_model();
  const TemporaryFolder folder;
  REQUIRE(contains(error_of(folder / "absent.model"), "absent.model"));
  REQUIRE(contains(error_of(folder.write("empty.model", "")), "empty.model is no sentencepiece"));
  REQUIRE(contains(error_of(folder.write("text.model", "no model at all")),
                   "text.model is no sentencepiece model, or a damaged one"));
  for (const std::size_t kept : {model.bytes.size() / 2, model.bytes.size() - 1, std::size_t{100}})
    REQUIRE(contains(error_of(folder.write("cut.model", model.bytes.substr(0, kept))),
                     "cut.model is no sentencepiece model, or a damaged one"));
  REQUIRE(titan::exit_code_for(titan::open_t5_tokenizer(folder / "cut.model").status()) == 2);
}

TEST_CASE("a model without T5's special pieces is refused", "[tokenizers]") {
  std::string error;
  const std::string bytes = titan::sentence_piece_module().value()->train(
      {{"vocab_size", "30"}, {"hard_vocab_limit", "false"}, {"minloglevel", "2"}},
      {"one text", "another text", "a third one"}, error);
  REQUIRE(error.empty());
  const TemporaryFolder folder;
  REQUIRE(contains(error_of(folder.write("spiece.model", bytes)),
                   "spiece.model is no model of T5: it has no piece <pad>"));
}

TEST_CASE("training is repeatable and says what it cannot do", "[tokenizers]") {
  const std::vector<std::string> texts = {"a red circle", "a green square", "a blue star"};
  const auto first = titan::train_sentence_pieces(texts, 60);
  REQUIRE(first.ok());
  REQUIRE(*first == titan::train_sentence_pieces(texts, 60).value());
  REQUIRE(titan::exit_code_for(titan::train_sentence_pieces({}, 60).status()) == 2);
  const auto refused = titan::train_sentence_pieces(texts, 5);
  REQUIRE(contains(titan::message_of(refused.status()), "cannot learn 5 pieces from 3 texts"));
}
