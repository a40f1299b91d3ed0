// utf8.h: reading and writing UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace titan {

/// `text` itself where it is well-formed UTF-8. Else `storage`, which gets the text with U+FFFD for
/// each ill-formed part: the longest start of a sequence that could have been, or one byte (Unicode
/// 15, section 3.9, "U+FFFD substitution of maximal subparts"; what Python's errors="replace"
/// does).
std::string_view well_formed_utf8(std::string_view text, std::string& storage);

/// Reads the code point at `position` of well-formed text and moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& position);

/// Appends a code point (no surrogate, at most U+10FFFF).
void append_utf8(std::string& text, char32_t code_point);

inline bool is_ascii(char letter) { return (static_cast<unsigned char>(letter) & 0x80U) == 0; }

}  // namespace titan
