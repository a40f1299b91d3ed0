// unicode.h: what the tokenizers ask about characters, with the tables of Unicode 14 (Python
// 3.11's, which the reference runs on). The library, utf8proc, has those of a later version: what
// was assigned after 14.0 counts as unassigned.
#pragma once

#include <string>
#include <string_view>

namespace titan {

/// False for code points that Unicode 14 gives no character.
bool is_assigned(char32_t code_point);
/// General category C: control, format, private use, unassigned.
bool is_other(char32_t code_point);
/// General category L.
bool is_letter(char32_t code_point);
/// General category N.
bool is_number(char32_t code_point);
/// General category Zs: the space and its kin.
bool is_space_separator(char32_t code_point);
/// What Python's str.strip() and str.split() take for a space.
bool is_python_space(char32_t code_point);
/// The blocks of Chinese characters that BERT's tokenizer puts spaces around.
bool is_chinese(char32_t code_point);

/// Normalization form C of well-formed UTF-8.
std::string nfc(std::string_view text);

/// Full lower-casing of well-formed UTF-8, as Python's str.lower(): simple mappings, U+0130 to two
/// characters, and the final sigma (Unicode 15, section 3.13, table 3-17).
std::string to_lower(std::string_view text);

}  // namespace titan
