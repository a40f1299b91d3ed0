#include "titan/tokenizers/clip_text.h"

#include <array>
#include <string>

#include "titan/tokenizers/unicode.h"
#include "titan/tokenizers/utf8.h"

namespace titan {
namespace {

using Take = std::function<bool(const ClipWord&)>;
using Kind = ClipWord::Kind;

/// The long s, which a pattern's s fits where letter case does not count.
constexpr std::string_view kLongS = "\xC5\xBF";

/// Length of the start of `text` that `pattern` fits in any letter case, or 0. `text` is lower-case
/// already.
std::size_t match_any_case(std::string_view text, std::string_view pattern) {
  std::size_t length = 0;
  for (const char letter : pattern) {
    const std::string_view rest = text.substr(length);
    if (rest.starts_with(letter)) {
      ++length;
    } else if (letter == 's' && rest.starts_with(kLongS)) {
      length += kLongS.size();
    } else {
      return 0;
    }
  }
  return length;
}

std::size_t match_contraction(std::string_view text) {
  static constexpr std::array<std::string_view, 7> kEndings = {"'s", "'t",  "'re", "'ve",
                                                               "'m", "'ll", "'d"};
  for (const std::string_view ending : kEndings)
    if (const std::size_t length = match_any_case(text, ending); length > 0) return length;
  return 0;
}

enum class CharacterClass : std::uint8_t { kLetter, kNumber, kRest, kNothing };

CharacterClass class_of(char32_t code_point) {
  if (code_point < 0x80) {
    if (code_point >= '0' && code_point <= '9') return CharacterClass::kNumber;
    const char32_t lower = code_point | 0x20U;
    return lower >= 'a' && lower <= 'z' ? CharacterClass::kLetter : CharacterClass::kRest;
  }
  // A mark whose other letter case is a letter (iota): where case does not count, the pattern's
  // "neither letter nor number" excludes it and "letter" does not include it.
  constexpr char32_t kIotaBelow = 0x345;
  if (code_point == kIotaBelow) return CharacterClass::kNothing;
  if (is_letter(code_point)) return CharacterClass::kLetter;
  return is_number(code_point) ? CharacterClass::kNumber : CharacterClass::kRest;
}

struct Run {
  std::size_t length = 0;
  bool counts = true;  ///< false for what no part of the pattern fits
};

/// A run of letters, one number, or a run of what is neither.
Run match_run(std::string_view text) {
  std::size_t length = 0;
  const CharacterClass first = class_of(next_code_point(text, length));
  if (first == CharacterClass::kNumber) return {length};
  while (length < text.size()) {
    std::size_t behind = length;
    if (class_of(next_code_point(text, behind)) != first) break;
    length = behind;
  }
  return {length, first != CharacterClass::kNothing};
}

/// Cuts a cleaned, lower-case text without spaces as the published pattern does: special tokens,
/// contractions, letters, single numbers, the rest.
bool split_by_pattern(std::string_view text, const Take& take) {
  while (!text.empty()) {
    std::size_t length = 0;
    Kind kind = Kind::kText;
    if (text.front() == '<') {
      length = match_any_case(text, kClipStart);
      if (length == 0) length = match_any_case(text, kClipEnd);
      const std::string_view found = text.substr(0, length);
      if (found == kClipStart) kind = Kind::kStart;
      if (found == kClipEnd) kind = Kind::kEnd;
    } else if (text.front() == '\'') {
      length = match_contraction(text);
    }
    const Run run = length == 0 ? match_run(text) : Run{length};
    length = run.length;
    if (run.counts && !take({kind, text.substr(0, length)})) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Collects what stands between two spaces.
class Cleaner {
 public:
  explicit Cleaner(const Take& take) : take_(take) {}

  /// False where the taker wants no more.
  bool add(std::string_view text) {
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t begin = position;
      const char32_t code_point = next_code_point(text, position);
      if (code_point < 0x80) {
        if (!add_ascii(static_cast<char>(code_point))) return false;
      } else if (!add_other(code_point, text.substr(begin, position - begin))) {
        return false;
      }
    }
    return finish_word();
  }

 private:
  bool add_ascii(char letter) {
    if (letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r') return finish_word();
    constexpr char kDelete = 0x7F;
    if (letter > ' ' && letter != kDelete) word_.push_back(letter);
    return true;
  }

  bool add_other(char32_t code_point, std::string_view bytes) {
    constexpr char32_t kReplacement = 0xFFFD;
    if (code_point == kReplacement || is_other(code_point)) return true;
    if (is_python_space(code_point)) return finish_word();
    const bool alone = is_chinese(code_point);
    if (alone && !finish_word()) return false;
    word_.append(bytes);
    ascii_ = false;
    // Nothing below U+0300 composes or decomposes.
    if (code_point >= 0x300) composed_ = false;
    return !alone || finish_word();
  }

  bool finish_word() {
    if (word_.empty()) return true;
    if (ascii_) {
      for (char& letter : word_)
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + ('a' - 'A'));
    } else {
      if (!composed_) word_ = nfc(word_);
      word_ = to_lower(word_);
    }
    const bool more = split_by_pattern(word_, take_);
    word_.clear();
    ascii_ = composed_ = true;
    return more;
  }

  const Take& take_;
  std::string word_;
  bool ascii_ = true;
  bool composed_ = true;  ///< in normalization form C already
};

}  // namespace

void split_clip_text(std::string_view text, const Take& take) {
  Cleaner cleaner(take);
  while (!text.empty()) {
    // Only these exact letters: other cases are found, after lower-casing, by the pattern.
    std::size_t at = text.find("<|");
    while (at != std::string_view::npos && !text.substr(at).starts_with(kClipStart) &&
           !text.substr(at).starts_with(kClipEnd))
      at = text.find("<|", at + 1);
    if (!cleaner.add(text.substr(0, at)) || at == std::string_view::npos) return;
    const bool starts = text.substr(at).starts_with(kClipStart);
    const std::string_view token = starts ? kClipStart : kClipEnd;
    if (!take({starts ? Kind::kStart : Kind::kEnd, token})) return;
    text.remove_prefix(at + token.size());
  }
}

}  // namespace titan
