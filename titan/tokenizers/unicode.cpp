#include "titan/tokenizers/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "titan/base/check.h"
#include "titan/tokenizers/unicode_age.h"
#include "titan/tokenizers/utf8.h"

namespace titan {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

template <std::size_t n>
bool is_in(const std::array<Range, n>& ranges, char32_t code_point) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Range& range) {
    return code_point >= range.first && code_point <= range.last;
  });
}

utf8proc_category_t category(char32_t code_point) {
  if (is_newer_than_unicode_14(code_point)) return UTF8PROC_CATEGORY_CN;
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

bool is_category_in(char32_t code_point, utf8proc_category_t first, utf8proc_category_t last) {
  const utf8proc_category_t found = category(code_point);
  return found >= first && found <= last;
}

/// Case_Ignorable: marks, modifiers, and the punctuation that stands inside words (DerivedCore
/// Properties.txt: Mn, Me, Cf, Lm, Sk, and Word_Break = MidLetter, MidNumLet or Single_Quote).
bool is_case_ignorable(char32_t code_point) {
  static constexpr std::array<char32_t, 17> kInsideWords = {
      0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
      0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  switch (category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return std::find(kInsideWords.begin(), kInsideWords.end(), code_point) != kInsideWords.end();
  }
}

/// Cased, of what is not case-ignorable: Lu, Ll, Lt, and of Other_Uppercase and Other_Lowercase the
/// characters of other categories.
bool is_cased(char32_t code_point) {
  static constexpr std::array<Range, 7> kOther = {{{0xAA, 0xAA},
                                                   {0xBA, 0xBA},
                                                   {0x2160, 0x217F},
                                                   {0x24B6, 0x24E9},
                                                   {0x1F130, 0x1F149},
                                                   {0x1F150, 0x1F169},
                                                   {0x1F170, 0x1F189}}};
  return is_category_in(code_point, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LT) ||
         is_in(kOther, code_point);
}

/// True where the sigma that ends before `behind` and begins at `position` closes a word: a cased
/// letter stands before it and none behind, case-ignorable characters not counted.
bool is_final_sigma(std::string_view text, std::size_t position, std::size_t behind) {
  const auto first_cased = [](auto next) {
    for (;;) {
      const char32_t code_point = next();
      if (code_point == 0) return false;
      if (!is_case_ignorable(code_point)) return is_cased(code_point);
    }
  };
  const auto before = [&]() -> char32_t {
    if (position == 0) return 0;
    do --position;
    while ((static_cast<std::uint8_t>(text[position]) & 0xC0U) == 0x80U);
    std::size_t at = position;
    return next_code_point(text, at);
  };
  const auto after = [&]() -> char32_t {
    return behind == text.size() ? 0 : next_code_point(text, behind);
  };
  return first_cased(before) && !first_cased(after);
}

}  // namespace

bool is_assigned(char32_t code_point) { return category(code_point) != UTF8PROC_CATEGORY_CN; }

bool is_other(char32_t code_point) {
  return is_category_in(code_point, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO) ||
         !is_assigned(code_point);
}

bool is_letter(char32_t code_point) {
  return is_category_in(code_point, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
}

bool is_number(char32_t code_point) {
  return is_category_in(code_point, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

bool is_space_separator(char32_t code_point) {
  return category(code_point) == UTF8PROC_CATEGORY_ZS;
}

bool is_python_space(char32_t code_point) {
  return (code_point >= 0x09 && code_point <= 0x0D) || (code_point >= 0x1C && code_point <= 0x1F) ||
         code_point == 0x85 || code_point == 0x2028 || code_point == 0x2029 ||
         is_space_separator(code_point);
}

bool is_chinese(char32_t code_point) {
  static constexpr std::array<Range, 8> kBlocks = {{{0x4E00, 0x9FFF},
                                                    {0x3400, 0x4DBF},
                                                    {0x20000, 0x2A6DF},
                                                    {0x2A700, 0x2B73F},
                                                    {0x2B740, 0x2B81F},
                                                    {0x2B820, 0x2CEAF},
                                                    {0xF900, 0xFAFF},
                                                    {0x2F800, 0x2FA1F}}};
  return is_in(kBlocks, code_point);
}

std::string nfc(std::string_view text) {
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, std::free);
  TITAN_CHECK(size >= 0, "[unicode] cannot normalize: ", utf8proc_errmsg(size));
  return {reinterpret_cast<const char*>(composed), static_cast<std::size_t>(size)};
}

std::string to_lower(std::string_view text) {
  constexpr char32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2;
  constexpr char32_t kCapitalDottedI = 0x130, kDotAbove = 0x307;
  std::string lower;
  lower.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const char32_t code_point = next_code_point(text, position);
    if (code_point == kCapitalSigma) {
      append_utf8(lower, is_final_sigma(text, begin, position) ? kFinalSigma : kSmallSigma);
    } else if (code_point == kCapitalDottedI) {
      lower.push_back('i');
      append_utf8(lower, kDotAbove);
    } else {
      append_utf8(lower, static_cast<char32_t>(
                             utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
    }
  }
  return lower;
}

}  // namespace titan
