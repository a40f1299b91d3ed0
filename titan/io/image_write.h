// image_write.h: Image -> bytes of a PNG or JPEG file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image.h"
#include "titan/io/png_text.h"

namespace titan {

/// Encodes kGray, kGrayAlpha, kRgb or kRgba; other modes are kInvalidArgument.
StatusOr<std::vector<std::uint8_t>> encode_png(const Image& image);

struct JpegOptions {
  int quality = 95;             ///< libjpeg's scale, 1 to 100
  bool subsample_color = true;  ///< keep a quarter of the colour values (4:2:0), as cameras do
};

/// Encodes kGray or kRgb; other modes are kInvalidArgument. Equal images give equal bytes.
StatusOr<std::vector<std::uint8_t>> encode_jpeg(const Image& image,
                                                const JpegOptions& options = {});

/// Encodes as PNG, with `text` beside the pixels, and puts the file at `path` whole or not at all.
Status write_png(const std::string& path, const Image& image, const PngText& text = {});

}  // namespace titan
