#include "titan/io/webp_write.h"

#include <webp/encode.h>

#include <memory>

namespace titan {

StatusOr<std::vector<std::uint8_t>> encode_webp(const Image& image, float quality) {
  if (image.mode != PixelMode::kRgb || image.width < 1 || image.height < 1 ||
      image.width > WEBP_MAX_DIMENSION || image.height > WEBP_MAX_DIMENSION)
    return invalid_argument("[image] WebP takes RGB of 1 to ", WEBP_MAX_DIMENSION,
                            " pixels a side (", image.width, " x ", image.height, ")");
  std::uint8_t* bytes = nullptr;
  const std::size_t size = WebPEncodeRGB(image.pixels.data(), image.width, image.height,
                                         static_cast<int>(image.row_bytes()), quality, &bytes);
  const std::unique_ptr<std::uint8_t, void (*)(void*)> owned(bytes, WebPFree);
  if (size == 0)
    return internal_error("[image] libwebp cannot encode ", image.width, " x ", image.height,
                          " pixels");
  return std::vector<std::uint8_t>(bytes, bytes + size);
}

}  // namespace titan
