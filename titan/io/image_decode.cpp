#include "titan/io/image_decode.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "titan/io/image_codecs.h"
#include "titan/io/image_orientation.h"

namespace titan {
namespace {

bool has(std::span<const std::uint8_t> bytes, std::size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() &&
         std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

/// Name of a known format that is not read here, or nullptr.
const char* unsupported_format(std::span<const std::uint8_t> bytes) {
  if (has(bytes, 0, "GIF87a") || has(bytes, 0, "GIF89a")) return "GIF";
  if (has(bytes, 0, "BM")) return "BMP";
  if (has(bytes, 0, std::string_view("II*\0", 4)) || has(bytes, 0, std::string_view("MM\0*", 4)))
    return "TIFF";
  if (has(bytes, 4, "ftypavif") || has(bytes, 4, "ftypavis")) return "AVIF";
  if (has(bytes, 4, "ftypheic") || has(bytes, 4, "ftypmif1")) return "HEIF";
  return nullptr;
}

StatusOr<image_codecs::Decoded> decode_stored(std::span<const std::uint8_t> bytes,
                                              const DecodeLimits& limits) {
  if (has(bytes, 0, "\xff\xd8\xff")) return image_codecs::decode_jpeg(bytes, limits);
  if (has(bytes, 0, "\x89PNG\r\n\x1a\n")) return image_codecs::decode_png(bytes, limits);
  if (has(bytes, 0, "RIFF") && has(bytes, 8, "WEBP"))
    return image_codecs::decode_webp(bytes, limits);
  if (const char* name = unsupported_format(bytes))
    return invalid_argument("[image] the format ", name,
                            " is not supported (JPEG, PNG and WebP are)");
  return invalid_argument("[image] not a JPEG, PNG or WebP image (", bytes.size(), " bytes)");
}

}  // namespace

namespace image_codecs {

Status check_size(std::int64_t width, std::int64_t height, std::int64_t bytes_each,
                  const DecodeLimits& limits) {
  // Headers hold 32-bit sizes: their product fits, times bytes_each may not.
  const std::int64_t num_pixels = width * height;
  if (num_pixels > limits.max_pixels)
    return invalid_argument("[image] too many pixels, a decompression bomb? (", width, " x ",
                            height, " = ", num_pixels, ", limit ", limits.max_pixels, ")");
  if (num_pixels > limits.max_bytes / bytes_each)
    return invalid_argument("[image] decoding would take too much memory (", width, " x ", height,
                            " at ", bytes_each, " bytes a pixel, limit ", limits.max_bytes,
                            " bytes)");
  return ok_status();
}

}  // namespace image_codecs

StatusOr<Image> decode_image(std::span<const std::uint8_t> bytes, const DecodeLimits& limits) {
  TITAN_ASSIGN_OR_RETURN(image_codecs::Decoded decoded, decode_stored(bytes, limits));
  return apply_orientation(std::move(decoded.image), decoded.orientation);
}

StatusOr<Image> decode_stored_image(std::span<const std::uint8_t> bytes,
                                    const DecodeLimits& limits) {
  TITAN_ASSIGN_OR_RETURN(image_codecs::Decoded decoded, decode_stored(bytes, limits));
  return std::move(decoded.image);
}

}  // namespace titan
