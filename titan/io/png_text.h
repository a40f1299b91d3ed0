// png_text.h: words in a PNG file beside its pixels (PNG specification, third edition, 11.3.3).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Keyword and UTF-8 text, in order. A keyword is 1 to 79 letters, digits, signs of ASCII or single
/// spaces between them; a text has no zero byte.
using PngText = std::vector<std::pair<std::string, std::string>>;

/// The text under that keyword, or "".
std::string find_text(const PngText& text, const std::string& keyword);

/// Puts one chunk per entry behind the header of a PNG file: tEXt where the text is plain ASCII,
/// else iTXt. All other bytes stay. kInvalidArgument names a keyword or text that cannot be stored.
StatusOr<std::vector<std::uint8_t>> add_png_text(std::span<const std::uint8_t> png,
                                                 const PngText& text);

/// What add_png_text() wrote, and uncompressed text of other programs, up to the pixels. Reads the
/// chunks in front of the pixels and the file's last bytes: kDataLoss where they are no PNG, are
/// damaged, or the file is cut short.
StatusOr<PngText> read_png_text(std::span<const std::uint8_t> png);

}  // namespace titan
