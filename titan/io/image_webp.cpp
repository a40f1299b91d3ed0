// WebP by libwebp; the RIFF chunks around the pictures are read here, for the orientation.
#include <cstring>
#include <optional>
#include <string_view>

#include <webp/decode.h>

#include "titan/io/image_codecs.h"
#include "titan/io/image_orientation.h"

namespace titan::image_codecs {
namespace {

/// Payload of the first chunk with this four-letter name; empty if there is none.
std::span<const std::uint8_t> find_chunk(std::span<const std::uint8_t> bytes,
                                         std::string_view name) {
  constexpr std::size_t kFileHeader = 12, kChunkHeader = 8;
  std::size_t at = kFileHeader;
  while (at + kChunkHeader <= bytes.size()) {
    const std::uint8_t* header = bytes.data() + at;
    const std::size_t size =
        header[4] | (header[5] << 8) | (header[6] << 16) | (std::size_t{header[7]} << 24);
    at += kChunkHeader;
    if (size > bytes.size() - at) return {};
    if (std::memcmp(header, name.data(), 4) == 0) return bytes.subspan(at, size);
    at += size + (size & 1);
  }
  return {};
}

int stored_orientation(std::span<const std::uint8_t> bytes) {
  if (const auto orientation = exif_orientation(find_chunk(bytes, "EXIF"))) return *orientation;
  return xmp_orientation(find_chunk(bytes, "XMP ")).value_or(1);
}

}  // namespace

StatusOr<Decoded> decode_webp(std::span<const std::uint8_t> bytes, const DecodeLimits& limits) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes.data(), bytes.size(), &features) != VP8_STATUS_OK)
    return data_loss("[image] WebP header is unreadable (", bytes.size(), " bytes)");
  if (features.has_animation != 0)
    return invalid_argument("[image] animated WebP is not supported");
  const PixelMode mode = features.has_alpha != 0 ? PixelMode::kRgba : PixelMode::kRgb;
  TITAN_RETURN_IF_ERROR(check_size(features.width, features.height, bytes_per_pixel(mode), limits));
  Decoded decoded{Image(features.width, features.height, mode), stored_orientation(bytes)};
  Image& image = decoded.image;
  const auto decode_into = mode == PixelMode::kRgba ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  if (decode_into(bytes.data(), bytes.size(), image.pixels.data(), image.pixels.size(),
                  static_cast<int>(image.row_bytes())) == nullptr)
    return data_loss("[image] WebP data are damaged or end early (", features.width, " x ",
                     features.height, ")");
  return decoded;
}

}  // namespace titan::image_codecs
