// image.h: pixels in memory, in the colour mode their file had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace titan {

/// Colour modes, after Pillow's: what a resize does depends on the mode, and conversion to RGB
/// comes after it.
enum class PixelMode : std::uint8_t {
  kBit,        ///< 1 bit a pixel in the file; one byte here, 0 or 255
  kGray,       ///< 1 byte
  kGrayAlpha,  ///< 2 bytes
  kRgb,        ///< 3 bytes
  kRgba,       ///< 4 bytes, alpha not premultiplied
  kCmyk,       ///< 4 bytes, 0 = no ink
  kPalette,    ///< 1 byte, an index into `palette`
  kGray16,     ///< 2 bytes, the machine's byte order
};

/// Bytes of one pixel.
constexpr int bytes_per_pixel(PixelMode mode) {
  switch (mode) {
    case PixelMode::kGrayAlpha:
    case PixelMode::kGray16:
      return 2;
    case PixelMode::kRgb:
      return 3;
    case PixelMode::kRgba:
    case PixelMode::kCmyk:
      return 4;
    default:
      return 1;
  }
}

/// An image of width x height pixels: rows from top to bottom, channels interleaved, no padding.
struct Image {
  int width = 0;
  int height = 0;
  PixelMode mode = PixelMode::kRgb;
  std::vector<std::uint8_t> pixels;   ///< height * width * bytes_per_pixel(mode)
  std::vector<std::uint8_t> palette;  ///< 256 RGB triples where mode is kPalette, else empty

  Image() = default;
  /// All bytes zero: black, or transparent black.
  Image(int image_width, int image_height, PixelMode pixel_mode)
      : width(image_width),
        height(image_height),
        mode(pixel_mode),
        pixels(row_bytes() * image_height) {}

  std::size_t row_bytes() const {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(bytes_per_pixel(mode));
  }
  std::uint8_t* row(int y) { return pixels.data() + row_bytes() * static_cast<std::size_t>(y); }
  const std::uint8_t* row(int y) const {
    return pixels.data() + row_bytes() * static_cast<std::size_t>(y);
  }
};

/// A rectangle of pixels.
struct PixelWindow {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

}  // namespace titan
