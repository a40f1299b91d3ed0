// image_codecs.h: one decoder per format, behind decode_image.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "titan/base/status.h"
#include "titan/io/image.h"
#include "titan/io/image_decode.h"

namespace titan::image_codecs {

/// Pixels as stored, and the orientation that the file's metadata ask for.
struct Decoded {
  Image image;
  int orientation = 1;  ///< EXIF value, 1 to 8
  int full_width = 0;   ///< of the stored picture, where `image` is a smaller one; else 0
  int full_height = 0;
};

/// With `cover`: at the smallest of 1/1, 1/2, 1/4 and 1/8 of its sides (rounded up) that, upright,
/// still covers it.
StatusOr<Decoded> decode_jpeg(std::span<const std::uint8_t> bytes, const DecodeLimits& limits,
                              const std::optional<CoverSides>& cover);
StatusOr<Decoded> decode_png(std::span<const std::uint8_t> bytes, const DecodeLimits& limits);
StatusOr<Decoded> decode_webp(std::span<const std::uint8_t> bytes, const DecodeLimits& limits);

/// An error where width x height, at `bytes_each` bytes a pixel, is beyond the limits.
Status check_size(std::int64_t width, std::int64_t height, std::int64_t bytes_each,
                  const DecodeLimits& limits);

}  // namespace titan::image_codecs
