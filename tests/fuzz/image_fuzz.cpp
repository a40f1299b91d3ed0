// JPEG, PNG and WebP with their orientation, at small limits; the words in a PNG; EXIF and XMP by
// themselves.
#include "tests/fuzz/fuzz_target.h"
#include "titan/io/image_decode.h"
#include "titan/io/image_orientation.h"
#include "titan/io/png_text.h"

TITAN_FUZZ_INPUT(image) {
  using namespace titan;
  const std::span<const std::uint8_t> bytes(data, size);
  (void)exif_orientation(bytes);
  (void)xmp_orientation(bytes);
  if (const StatusOr<PngText> text = read_png_text(bytes); text.ok()) {
    for (const auto& [keyword, value] : *text) fuzz::touch(value);
    (void)add_png_text(bytes, {{"titan", "a text"}});
  }
  const DecodeLimits limits{.max_pixels = 1 << 18, .max_bytes = 1 << 21};
  const StatusOr<Image> image = decode_image(bytes, limits);
  if (image.ok()) {
    TITAN_FUZZ_CHECK(image->pixels.size() ==
                     image->row_bytes() * static_cast<std::size_t>(image->height));
    fuzz::touch(image->pixels.data(), image->pixels.size());
  }
  const StatusOr<ScaledImage> scaled = decode_image_covering(bytes, {16, 16}, limits);
  TITAN_FUZZ_CHECK(scaled.ok() == image.ok());
  return 0;
}
