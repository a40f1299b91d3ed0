// stored_png.h: pictures as the prepared data sets store them.
#pragma once

#include <cstdint>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image.h"

namespace titan::tools {

/// Encodes as PNG. kGray, kGrayAlpha, kRgb and kRgba keep their mode; kBit is stored as gray 0 and
/// 255. What the reference stores as TIFF because PNG cannot hold it (CMYK), or because Pillow's
/// modes have no PNG in its list (palette, 16-bit gray), is converted to RGB here by the rule by
/// which a loader would convert it when it reads the file: training sees the same pixels.
StatusOr<std::vector<std::uint8_t>> encode_stored_png(Image image);

}  // namespace titan::tools
