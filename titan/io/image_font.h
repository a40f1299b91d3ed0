// image_font.h: writing in pictures, with a small bitmap font of printable ASCII.
#pragma once

#include <cstdint>
#include <string>

#include "titan/io/image.h"

namespace titan {

struct Rgb {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;
};

/// Pixels of one letter at scale 1, and from one letter to the next.
inline constexpr int kFontColumns = 5;
inline constexpr int kFontRows = 9;
inline constexpr int kFontAdvance = 6;

/// Width in pixels of a line of ASCII text.
int text_width(const std::string& text, int scale);

/// Draws one line with its upper left corner at (x, y); what falls outside a kRgb image is cut off.
/// Bytes that are not printable ASCII show as '?'.
void draw_text(Image& image, int x, int y, const std::string& text, int scale, const Rgb& color);

/// Fills the part of `window` that lies inside a kRgb image.
void fill_rectangle(Image& image, const PixelWindow& window, const Rgb& color);

/// UTF-8 -> what the font can show: one '?' for a character beyond ASCII, a space for a line break
/// or tab.
std::string ascii_only(const std::string& text);

}  // namespace titan
