// image_decode.h: bytes of a JPEG, PNG or WebP file -> Image, with the pixels that Pillow gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "titan/base/status.h"
#include "titan/io/image.h"

namespace titan {

/// Refused from the header, before any memory is taken for pixels (decompression bombs).
struct DecodeLimits {
  std::int64_t max_pixels = 933'120'000;  ///< the reference trainer's limit
  std::int64_t max_bytes = std::int64_t{6}
                           << 30;  ///< pixels, and the coefficients of a progressive JPEG
};

/// Decodes by what the bytes are (never by a name) and applies the EXIF orientation (JPEG and WebP
/// EXIF, PNG eXIf, or the XMP packet where there is no EXIF). The image keeps its file's mode;
/// 16-bit colour keeps the high byte. ICC profiles and transparent colours (tRNS) are ignored, as
/// Pillow does.
///
/// A file that ends early is completed as Pillow does with LOAD_TRUNCATED_IMAGES: JPEG with gray,
/// PNG with zeros. Errors: kInvalidArgument for bytes that are no image, or GIF, BMP, TIFF,
/// animated WebP (not supported), or beyond `limits`; kDataLoss for an unreadable header and for
/// damage inside (not at the end) of the data.
StatusOr<Image> decode_image(std::span<const std::uint8_t> bytes, const DecodeLimits& limits = {});
/// The same without a look at the orientation: the pixels as they lie in the file.
StatusOr<Image> decode_stored_image(std::span<const std::uint8_t> bytes,
                                    const DecodeLimits& limits = {});

}  // namespace titan
