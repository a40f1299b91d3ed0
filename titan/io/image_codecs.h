// image_codecs.h: one decoder per format, behind decode_image.
#pragma once

#include <cstdint>
#include <span>

#include "titan/base/status.h"
#include "titan/io/image.h"
#include "titan/io/image_decode.h"

namespace titan::image_codecs {

/// Pixels as stored, and the orientation that the file's metadata ask for.
struct Decoded {
  Image image;
  int orientation = 1;  ///< EXIF value, 1 to 8
};

StatusOr<Decoded> decode_jpeg(std::span<const std::uint8_t> bytes, const DecodeLimits& limits);
StatusOr<Decoded> decode_png(std::span<const std::uint8_t> bytes, const DecodeLimits& limits);
StatusOr<Decoded> decode_webp(std::span<const std::uint8_t> bytes, const DecodeLimits& limits);

/// An error where width x height, at `bytes_each` bytes a pixel, is beyond the limits.
Status check_size(std::int64_t width, std::int64_t height, std::int64_t bytes_each,
                  const DecodeLimits& limits);

}  // namespace titan::image_codecs
