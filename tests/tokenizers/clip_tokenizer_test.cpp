#include "tests/support/catch.h"

#include "titan/tokenizers/clip_tokenizer.h"

#include <chrono>

#include <nlohmann/json.hpp>

#include "titan/tokenizers/byte_pairs.h"
#include "titan/tokenizers/clip_text.h"

#include "tests/support/temporary_folder.h"

using Ids = std::vector<std::int64_t>;
using titan::testing::TemporaryFolder;

namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  titan::split_clip_text(text, [&](const titan::ClipWord& word) {
    const bool special = word.kind != titan::ClipWord::Kind::kText;
    words.push_back((special ? "*" : "") + std::string(word.bytes));
    return true;
  });
  return words;
}

using Words = std::vector<std::string>;

/// A vocabulary of all bytes and the merges that make "red" and "circle", as the two files.
struct SmallFiles {
  TemporaryFolder folder;
  std::string vocab;
  std::string merges;
  nlohmann::json ids;

  SmallFiles() {
    const std::vector<std::string> lines = {"r e",     "re d</w>", "c i",        "r c",
                                            "l e</w>", "ci rc",    "circ le</w>"};
    std::vector<std::string> symbols;
    for (const char* ending : {"", titan::kEndOfWord})
      for (const std::string& byte : titan::byte_characters()) symbols.push_back(byte + ending);
    std::string text = "#version: 0.2\n";
    for (const std::string& line : lines) {
      text += line + "\n";
      symbols.push_back(line.substr(0, line.find(' ')) + line.substr(line.find(' ') + 1));
    }
    symbols.emplace_back(titan::kClipStart);
    symbols.emplace_back(titan::kClipEnd);
    for (std::size_t i = 0; i < symbols.size(); ++i) ids[symbols[i]] = i;
    merges = folder.write("merges.txt", text);
    vocab = folder.write("vocab.json", ids.dump());
  }

  std::int64_t id(const std::string& symbol) const { return ids.at(symbol); }
};

std::string error_of(const std::string& vocab, const std::string& merges) {
  return titan::message_of(titan::open_clip_tokenizer(vocab, merges).status());
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("texts are cleaned and cut as the reference's Python does", "[tokenizers]") {
  REQUIRE(words_of("").empty());
  REQUIRE(words_of(" \t\r\n\u00A0\u3000 ").empty());
  REQUIRE(words_of("A Red  Circle.") == Words{"a", "red", "circle", "."});
  REQUIRE(words_of("it's WE'LL don't") == Words{"it", "'s", "we", "'ll", "don", "'t"});
  REQUIRE(words_of("!'s") == Words{"!'", "s"});  // the apostrophe goes with what stands before it
  REQUIRE(words_of("1,000 4k") == Words{"1", ",", "0", "0", "0", "4", "k"});
  REQUIRE(words_of("a\u200Bb\u00ADc\x01\x0B"
                   "d") == Words{"abcd"});  // format and control characters go
  REQUIRE(words_of("a\u2028b") == Words{"a", "b"});
  REQUIRE(words_of("x\u4E2D\u6587y") == Words{"x", "\u4E2D", "\u6587", "y"});
  REQUIRE(words_of("Cafe\u0301") == Words{"caf\u00E9"});
  REQUIRE(words_of("\u039F\u0394\u039F\u03A3") == Words{"\u03BF\u03B4\u03BF\u03C2"});
  REQUIRE(words_of("'\u017F") == Words{"'\u017F"});  // the long s fits where case does not count
  REQUIRE(words_of("-\u0345-a\u0345") == Words{"-", "-", "a"});  // what the pattern never fits
  REQUIRE(words_of(std::string("a\0b", 3)) == Words{"ab"});
}

TEST_CASE("literal special tokens are single words in any letter case", "[tokenizers]") {
  REQUIRE(words_of("a<|endoftext|>b") == Words{"a", "*<|endoftext|>", "b"});
  REQUIRE(words_of("<|StartOfText|> x") == Words{"*<|startoftext|>", "x"});
  REQUIRE(words_of("<|<|endoftext|>") == Words{"<|", "*<|endoftext|>"});
  REQUIRE(words_of("!<|ENDOFTEXT|>") == Words{"!<|", "endoftext", "|>"});
  REQUIRE(words_of("<|\u017FTARTOFTEXT|>") == Words{"<|\u017Ftartoftext|>"});
  REQUIRE(words_of("<|endoftext") == Words{"<|", "endoftext"});
}

TEST_CASE("ids are start, text, end, padded with end", "[tokenizers]") {
  const SmallFiles files;
  const auto tokenizer = titan::open_clip_tokenizer(files.vocab, files.merges);
  REQUIRE(tokenizer.ok());
  const std::int64_t start = files.id("<|startoftext|>"), end = files.id("<|endoftext|>");
  const std::int64_t red = files.id("red</w>"), circle = files.id("circle</w>");
  REQUIRE((*tokenizer)->vocabulary_size() == end + 1);
  const auto encode = [&](const std::string& text, std::size_t length) {
    Ids ids(length, -1);
    (*tokenizer)->encode(text, ids);
    return ids;
  };
  REQUIRE(encode("", 4) == Ids{start, end, end, end});
  REQUIRE(encode("Red CIRCLE", 6) == Ids{start, red, circle, end, end, end});
  REQUIRE(encode("red circle red", 4) == Ids{start, red, circle, end});
  REQUIRE(encode("red", 2) == Ids{start, end});
  REQUIRE(encode("reds", 5) == Ids{start, files.id("re"), files.id("d"), files.id("s</w>"), end});
  REQUIRE(encode("red<|endoftext|>red", 6) == Ids{start, red, end, red, end, end});
  // Malformed bytes count as U+FFFD, which the cleaning drops.
  REQUIRE(encode("re\xFF"
                 "d \xE2\x82",
                 4) == Ids{start, red, end, end});
  Ids one(1);
  REQUIRE_THROWS_AS((*tokenizer)->encode("red", one), titan::Error);
}

TEST_CASE("captions of ten thousand words, and words of ten thousand letters, take no time",
          "[tokenizers]") {
  const SmallFiles files;
  const auto tokenizer = titan::open_clip_tokenizer(files.vocab, files.merges);
  REQUIRE(tokenizer.ok());
  std::string many, one;
  for (int i = 0; i < 10'000; ++i) {
    many += "red circle ";
    one += "circle";
  }
  const auto begin = std::chrono::steady_clock::now();
  Ids ids(77);
  (*tokenizer)->encode(many, ids);
  REQUIRE(ids[75] == files.id("red</w>"));
  REQUIRE(ids[76] == files.id("<|endoftext|>"));
  (*tokenizer)->encode(one, ids);  // 60,000 symbols: n log n, a second at most on any machine
  REQUIRE(ids[1] == files.id("circ"));
  REQUIRE(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("files of CLIP's tokenizer that are absent, damaged or of another kind are named",
          "[tokenizers]") {
  const SmallFiles files;
  const TemporaryFolder& folder = files.folder;
  REQUIRE(contains(error_of(folder / "absent.json", files.merges), "absent.json"));
  REQUIRE(contains(error_of(files.vocab, folder / "absent.txt"), "absent.txt"));
  const std::string text = files.ids.dump();
  const std::string cut = folder.write("cut.json", text.substr(0, text.size() / 2));
  REQUIRE(contains(error_of(cut, files.merges), "cut.json is no JSON (damaged, or cut short"));
  REQUIRE(contains(error_of(folder.write("list.json", "[1]"), files.merges), "is no vocabulary"));
  const std::string deep = std::string(500'000, '[') + std::string(500'000, ']');
  REQUIRE(contains(error_of(folder.write("deep.json", "{\"a\": " + deep + "}"), files.merges),
                   "deep.json is no vocabulary: it nests lists or objects too deep"));
  REQUIRE(contains(error_of(folder.write("text.json", R"({"a": "b"})"), files.merges),
                   "the id of a is \"b\""));
  REQUIRE(contains(error_of(folder.write("twice.json", R"({"a": 1, "b": 1})"), files.merges),
                   "the id 1 twice"));
  REQUIRE(contains(error_of(folder.write("other.json", R"({"a": 1})"), files.merges),
                   "it has no <|startoftext|>"));
  REQUIRE(contains(error_of(files.vocab, folder.write("empty.txt", "")), "holds no merges"));
  REQUIRE(contains(error_of(files.vocab, files.vocab), "holds no merges"));  // one line
  REQUIRE(contains(error_of(files.vocab, folder.write("prose.txt", "#v\nthree words here\n")),
                   "prose.txt:2 is not a pair of symbols (three words here)"));
  // Merges of another vocabulary, and merges cut short at a line.
  REQUIRE(contains(error_of(files.vocab, folder.write("foreign.txt", "#v\nr e\nx y\n")),
                   "foreign.txt"));
  REQUIRE(
      contains(error_of(files.vocab,
                        folder.write("foreign.txt", titan::testing::slurp(files.merges) + "x y\n")),
               "merge 8 (x y) needs the symbol xy, which the vocabulary has not"));
  const std::string short_merges = error_of(files.vocab, folder.write("short.txt", "#v\nr e\n"));
  REQUIRE(contains(short_merges, "symbols that no merge of"));
  REQUIRE(contains(short_merges, "the second is cut short"));
  REQUIRE(titan::exit_code_for(titan::open_clip_tokenizer(cut, files.merges).status()) == 2);
}

TEST_CASE("OpenAI's file alone makes the same vocabulary; a damaged one is named", "[tokenizers]") {
  const SmallFiles files;
  const auto tokenizer = titan::open_openai_clip_tokenizer(files.merges);
  REQUIRE(tokenizer.ok());
  REQUIRE((*tokenizer)->vocabulary_size() == 512 + 7 + 2);
  Ids ids(4);
  (*tokenizer)->encode("! circle", ids);
  REQUIRE(ids == Ids{519, 256, 518, 520});  // "!" is the first byte that is written as itself
  const std::string damaged = files.folder.write(
      "damaged.txt.gz", std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03no deflate stream", 27));
  REQUIRE(contains(titan::message_of(titan::open_openai_clip_tokenizer(damaged).status()),
                   "damaged.txt.gz cannot be decompressed"));
}

TEST_CASE("a tokenizer with more ids than the model has rows is refused", "[tokenizers]") {
  const SmallFiles files;
  const auto tokenizer = titan::open_clip_tokenizer(files.vocab, files.merges);
  REQUIRE(tokenizer.ok());
  REQUIRE(titan::check_vocabulary(**tokenizer, 521, "clip").ok());
  const titan::Status refused = titan::check_vocabulary(**tokenizer, 520, "clip");
  REQUIRE(titan::message_of(refused) ==
          "[clip] the tokenizer has 521 ids, the encoder's embedding only 520 rows: the "
          "tokenizer's files and the weights belong to different models");
  REQUIRE(titan::exit_code_for(refused) == 2);
}
