// image_resize.h: resizing with the bytes of Pillow 11.2's default filter.
#pragma once

#include <cstdint>

#include "titan/io/image.h"

namespace titan {

/// Width and height in pixels.
struct ImageSize {
  int width = 0;
  int height = 0;
  bool operator==(const ImageSize&) const = default;
};

/// Resizes in the image's own mode, byte for byte as Pillow 11.2.1's Image.resize: nearest
/// neighbour for kPalette and kBit, bicubic (a = -0.5, antialiased) over premultiplied alpha for
/// kGrayAlpha and kRgba, else plain bicubic in 22-bit fixed point, horizontal pass first. Throws
/// titan::Error where a side is below 1.
Image resize(const Image& image, const ImageSize& size);

/// crop(resize(image, size), window), computing no pixel outside `window`.
Image resize_window(const Image& image, const ImageSize& size, const PixelWindow& window);

/// The smallest size of the image's shape that covers `target`: the side that binds gets the
/// target's length, the other is rounded up (`ceil((target / side) * other)` in double arithmetic,
/// the reference trainer's rule).
ImageSize cover_size(const ImageSize& image, const ImageSize& target);

/// resize(image, cover_size(...)).
Image cover_resize(const Image& image, const ImageSize& target);

/// Copies `window`, which must lie inside (titan::Error).
Image crop(const Image& image, const PixelWindow& window);

}  // namespace titan
