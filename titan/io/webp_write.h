// webp_write.h: Image -> bytes of a lossy WebP file, a third smaller than a JPEG that looks alike.
#pragma once

#include <cstdint>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image.h"

namespace titan {

/// Encodes kRgb at `quality`, libwebp's scale of 0 to 100. Other modes, and sides above WebP's
/// 16383 pixels, are kInvalidArgument. Equal images give equal bytes.
StatusOr<std::vector<std::uint8_t>> encode_webp(const Image& image, float quality);

}  // namespace titan
