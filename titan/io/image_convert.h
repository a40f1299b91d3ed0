// image_convert.h: colour conversions, and the float tensor a model is trained on.
#pragma once

#include "titan/io/image.h"

namespace titan {

/// Converts to kRgb as Pillow's convert("RGB"): alpha is dropped (not blended), 16-bit gray is
/// clipped to 255 (not scaled), CMYK by (255 - c)(255 - k) / 255.
Image to_rgb(Image image);

/// Colour *= alpha / 255, rounded, for kGrayAlpha and kRgba.
void premultiply_alpha(Image& image);
/// Colour *= 255 / alpha, rounded down and clamped; left alone where alpha is 0.
void unpremultiply_alpha(Image& image);

/// Mirrors left and right.
void flip_horizontally(Image& image);

/// Writes x / 255 * 2 - 1 of a kRgb image as [3, height, width] float32 to `out`. Throws for
/// another mode.
void write_chw(const Image& image, float* out);

}  // namespace titan
