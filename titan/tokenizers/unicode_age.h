// unicode_age.h: which characters are younger than the reference's tables.
#pragma once

namespace titan {

/// True for a code point that Unicode 15.0 to 17.0 gave a character and 14.0 had not.
bool is_newer_than_unicode_14(char32_t code_point);

}  // namespace titan
