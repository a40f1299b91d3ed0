// image_orientation.h: which way up an image is, and turning it so.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "titan/io/image.h"

namespace titan {

/// Value of the EXIF orientation tag (0x0112) in a TIFF block, with or without the "Exif\0\0"
/// prefix. Empty where the block is damaged or has no such tag.
std::optional<int> exif_orientation(std::span<const std::uint8_t> exif);

/// Value of tiff:Orientation in an XMP packet.
std::optional<int> xmp_orientation(std::span<const std::uint8_t> xmp);

/// True where that turns width into height: orientations 5 to 8.
constexpr bool swaps_sides(int orientation) { return orientation >= 5 && orientation <= 8; }

/// Turns `image` upright: mirrored and rotated as EXIF orientation 2 to 8 says; any other value
/// leaves it alone.
Image apply_orientation(Image image, int orientation);

}  // namespace titan
