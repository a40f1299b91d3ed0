#include "tests/support/catch.h"

#include "titan/io/png_text.h"

#include <algorithm>
#include <string>

#include <zlib.h>

#include "titan/io/image_decode.h"
#include "titan/io/image_write.h"

#include "tests/support/temporary_folder.h"

using titan::Image;
using titan::PixelMode;
using titan::PngText;

namespace {

using Bytes = std::vector<std::uint8_t>;

Image checkered(int side) {
  Image image(side, side, PixelMode::kRgb);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(i * 37 % 251);
  return image;
}

Bytes plain_png() { return titan::encode_png(checkered(9)).value(); }

/// A reader of its own: type and data of every chunk, all checksums compared.
std::vector<std::pair<std::string, std::string>> chunks_of(const Bytes& png) {
  std::vector<std::pair<std::string, std::string>> chunks;
  const auto number = [&](std::size_t at) {
    return static_cast<std::size_t>(png[at]) << 24 | static_cast<std::size_t>(png[at + 1]) << 16 |
           static_cast<std::size_t>(png[at + 2]) << 8 | static_cast<std::size_t>(png[at + 3]);
  };
  for (std::size_t at = 8; at < png.size();) {
    const std::size_t length = number(at);
    REQUIRE(at + 12 + length <= png.size());
    REQUIRE(crc32(0, png.data() + at + 4, static_cast<uInt>(length + 4)) ==
            number(at + 8 + length));
    const std::string body(png.begin() + static_cast<std::ptrdiff_t>(at + 4),
                           png.begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    chunks.emplace_back(body.substr(0, 4), body.substr(4));
    at += 12 + length;
  }
  return chunks;
}

std::string big_endian(std::uint64_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift & 0xFF);
  return bytes;
}

/// The chunk of that type and data, put behind the header.
Bytes with_chunk(const Bytes& png, const std::string& body) {
  const std::string chunk = big_endian(body.size() - 4) + body +
                            big_endian(crc32(0, reinterpret_cast<const Bytef*>(body.data()),
                                             static_cast<uInt>(body.size())));
  std::string all(png.begin(), png.end());
  all.insert(33, chunk);
  return {all.begin(), all.end()};
}

}  // namespace

TEST_CASE("Text of a PNG is read back, and stands in the chunks the specification names",
          "[image]") {
  std::string long_text;
  for (int i = 0; i < 10000; ++i) long_text += "word" + std::to_string(i) + " ";
  const PngText text = {{"prompt", "ein Käsebrot, 猫 und 🐈, \"quoted\" & <odd>"},
                        {"negative_prompt", ""},
                        {"guidance", "3.5"},
                        {"two lines", "one\ntwo"},
                        {"tab", "a\tb"},
                        {"long", long_text}};
  const Bytes before = plain_png();
  const auto after = titan::add_png_text(before, text);
  REQUIRE(after.ok());
  REQUIRE(titan::read_png_text(*after).value() == text);
  CHECK(titan::find_text(text, "guidance") == "3.5");
  CHECK(titan::find_text(text, "no such").empty());

  const auto chunks = chunks_of(*after);
  REQUIRE(chunks.size() == chunks_of(before).size() + text.size());
  CHECK(chunks[1].first == "iTXt");
  CHECK(chunks[1].second == std::string("prompt\0\0\0\0\0", 11) + text[0].second);
  CHECK(chunks[2].first == "tEXt");
  CHECK(chunks[2].second == std::string("negative_prompt\0", 16));
  CHECK(chunks[3].second == std::string("guidance\0", 9) + "3.5");
  CHECK(chunks[4].first == "tEXt");
  CHECK(chunks[5].first == "iTXt");
}

TEST_CASE("Text changes no other byte of a PNG, nor its pixels", "[image]") {
  const Bytes before = plain_png();
  const Bytes after = titan::add_png_text(before, {{"key", "value"}}).value();
  const std::size_t added = after.size() - before.size();
  CHECK(added == 12 + 3 + 1 + 5);
  CHECK(std::equal(before.begin(), before.begin() + 33, after.begin()));
  CHECK(std::equal(before.begin() + 33, before.end(),
                   after.begin() + 33 + static_cast<std::ptrdiff_t>(added)));
  CHECK(titan::decode_image(after).value().pixels == checkered(9).pixels);
  CHECK(titan::add_png_text(before, {}).value() == before);

  const titan::testing::TemporaryFolder folder;
  REQUIRE(titan::write_png(folder / "a.png", checkered(9)).ok());
  REQUIRE(titan::write_png(folder / "b.png", checkered(9), {{"key", "value"}}).ok());
  const std::string a = titan::testing::slurp(folder / "a.png");
  const std::string b = titan::testing::slurp(folder / "b.png");
  CHECK(Bytes(a.begin(), a.end()) == before);
  CHECK(Bytes(b.begin(), b.end()) == after);
}

TEST_CASE("Keywords and texts that PNG cannot hold are refused by name", "[image]") {
  const Bytes png = plain_png();
  for (const std::string& keyword :
       {std::string(), std::string(" a"), std::string("a "), std::string("a  b"),
        std::string("a\nb"), std::string("ä"), std::string(80, 'x')}) {
    const auto refused = titan::add_png_text(png, {{keyword, "text"}});
    INFO(keyword);
    REQUIRE(refused.status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(titan::add_png_text(png, {{std::string(79, 'x'), "text"}}).ok());
  const auto zero = titan::add_png_text(png, {{"prompt", std::string("a\0b", 3)}});
  CHECK(titan::message_of(zero.status()).find("zero byte (prompt)") != std::string::npos);
  CHECK_FALSE(titan::add_png_text(Bytes{1, 2, 3}, {}).ok());
}

TEST_CASE("Text that other programs wrote is read, compressed text is passed over", "[image]") {
  const std::string international("key\0\0\0de\0Schl\xC3\xBCssel\0Wert", 24);
  const Bytes png =
      with_chunk(with_chunk(with_chunk(plain_png(), std::string("zTXtpacked\0\0xyz", 15)),
                            std::string("iTXtpacked\0\1\0\0\0xyz", 18)),
                 "iTXt" + international);
  REQUIRE(titan::read_png_text(png).value() == PngText{{"key", "Wert"}});
  // Chunks without what they need are no text.
  for (const std::string& body :
       {std::string("tEXtno end"), std::string("iTXtkey\0", 8), std::string("iTXtkey\0\0\0de", 12)})
    CHECK(titan::read_png_text(with_chunk(plain_png(), body)).value().empty());
}

TEST_CASE("A PNG that is cut short or damaged anywhere before its pixels has no text", "[image]") {
  const Bytes png = titan::add_png_text(plain_png(), {{"key", "value"}}).value();
  REQUIRE(titan::read_png_text(png).ok());
  for (std::size_t size = 0; size < png.size(); ++size) {
    INFO(size);
    REQUIRE(titan::read_png_text(std::span(png).first(size)).status().code() ==
            absl::StatusCode::kDataLoss);
  }
  for (std::size_t at = 0; at < 33 + 21; ++at) {
    Bytes damaged = png;
    damaged[at] ^= 0x40;
    INFO(at);
    REQUIRE_FALSE(titan::read_png_text(damaged).ok());
  }
}
