#include "tests/support/catch.h"

#include "titan/tokenizers/unicode.h"

#include "titan/tokenizers/utf8.h"

namespace {

std::string repaired(const std::string& text) {
  std::string storage;
  return std::string(titan::well_formed_utf8(text, storage));
}

}  // namespace

TEST_CASE("well-formed UTF-8 stays, ill-formed parts become one replacement each", "[tokenizers]") {
  const std::string mark = "\xEF\xBF\xBD";
  for (const std::string text : {"", "plain", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    REQUIRE(repaired(text) == text);
  REQUIRE(repaired("a\xFFz") == "a" + mark + "z");
  REQUIRE(repaired("\x80\x80") == mark + mark);
  REQUIRE(repaired("\xC0\xAF") == mark + mark);             // overlong
  REQUIRE(repaired("\xED\xA0\x80") == mark + mark + mark);  // a surrogate
  REQUIRE(repaired("\xF4\x90\x80\x80") == mark + mark + mark + mark);
  REQUIRE(repaired("\xE2\x82") == mark);  // cut short: one part
  REQUIRE(repaired("\xF0\x9F\x98z") == mark + "z");
  REQUIRE(repaired("\xE2\x82\xE2\x82\xAC") == mark + "\xE2\x82\xAC");
}

TEST_CASE("code points survive writing and reading", "[tokenizers]") {
  for (const char32_t code_point :
       {U'\x01', U'z', U'\x7F', U'\x80', U'\x7FF', U'\x800', U'\xFFFD', U'\x10000', U'\x10FFFF'}) {
    std::string text;
    titan::append_utf8(text, code_point);
    REQUIRE(repaired(text) == text);
    std::size_t position = 0;
    REQUIRE(titan::next_code_point(text, position) == code_point);
    REQUIRE(position == text.size());
  }
}

TEST_CASE("characters younger than Unicode 14 count as unassigned", "[tokenizers]") {
  REQUIRE(titan::is_letter(U'\u4E00'));
  REQUIRE(titan::is_letter(U'\U0001DF00'));   // 14.0
  REQUIRE(!titan::is_letter(U'\U00031350'));  // 15.0, a Chinese character
  REQUIRE(titan::is_other(U'\U00031350'));
  REQUIRE(!titan::is_assigned(U'\U0001FAE8'));  // 15.0, the shaking face
  REQUIRE(titan::is_assigned(U'\U0001FAE7'));   // 14.0, bubbles
  REQUIRE(titan::is_other(U'\u0378'));          // of no version
  REQUIRE(titan::is_other(U'\uE000'));          // private use
  REQUIRE(titan::is_other(U'\u200B'));          // format
  REQUIRE(!titan::is_other(U'\u2028'));
  REQUIRE(titan::is_python_space(U'\u2028'));
  REQUIRE(titan::is_number(U'\u00BD'));
  REQUIRE(!titan::is_number(U'\u0301'));
}

TEST_CASE("lower-casing is Python's", "[tokenizers]") {
  REQUIRE(titan::to_lower("ABC xyz 123") == "abc xyz 123");
  REQUIRE(titan::to_lower("\u00C9\u00D6") == "\u00E9\u00F6");
  REQUIRE(titan::to_lower("\u0130") == "i\u0307");
  REQUIRE(titan::to_lower("\u03A3") == "\u03C3");                // alone
  REQUIRE(titan::to_lower("\u039F\u03A3") == "\u03BF\u03C2");    // closes a word
  REQUIRE(titan::to_lower("\u03A3\u039F") == "\u03C3\u03BF");    // opens one
  REQUIRE(titan::to_lower("\u039F\u03A3.") == "\u03BF\u03C2.");  // ignorable behind
  REQUIRE(titan::to_lower("\u039F\u03A3'\u039F") == "\u03BF\u03C3'\u03BF");
  REQUIRE(titan::to_lower("A\u0301\u03A3") == "a\u0301\u03C2");  // a mark between
  REQUIRE(titan::to_lower("-\u03A3") == "-\u03C3");
  REQUIRE(titan::to_lower("\u1E9E") == "\u00DF");
}

TEST_CASE("normalization form C composes, also Chinese look-alikes and Hangul", "[tokenizers]") {
  REQUIRE(titan::nfc("e\u0301") == "\u00E9");
  REQUIRE(titan::nfc("\uF900") == "\u8C48");
  REQUIRE(titan::nfc("\u1100\u1161") == "\uAC00");
  REQUIRE(titan::nfc("q\u0307\u0323") == "q\u0323\u0307");
  REQUIRE(titan::nfc("\uFB01") == "\uFB01");  // compatibility forms stay
}
