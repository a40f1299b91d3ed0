#include "titan/tools/data/stored_png.h"

#include <utility>

#include "titan/io/image_convert.h"
#include "titan/io/image_write.h"

namespace titan::tools {

StatusOr<std::vector<std::uint8_t>> encode_stored_png(Image image) {
  switch (image.mode) {
    case PixelMode::kBit:  // its bytes are 0 and 255 already
      image.mode = PixelMode::kGray;
      break;
    case PixelMode::kCmyk:
    case PixelMode::kPalette:
    case PixelMode::kGray16:
      image = to_rgb(std::move(image));
      break;
    default:
      break;
  }
  return encode_png(image);
}

}  // namespace titan::tools
