#include "tests/support/catch.h"

#include "titan/io/image_decode.h"

#include <algorithm>
#include <string>

#include "titan/base/philox.h"
#include "titan/io/image_convert.h"
#include "titan/io/image_orientation.h"
#include "titan/io/image_write.h"

using titan::decode_image;
using titan::Image;
using titan::PixelMode;
using Bytes = std::vector<std::uint8_t>;

namespace {

Image noise(int width, int height, PixelMode mode) {
  Image image(width, height, mode);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] =
        static_cast<std::uint8_t>(titan::random_bits(3, titan::RandomPurpose::kSynthetic, i, 0));
  return image;
}

Bytes png_bytes(const Image& image) { return titan::encode_png(image).value(); }
Bytes jpeg_bytes(const Image& image) { return titan::encode_jpeg(image).value(); }

Bytes from_text(const std::string& text) { return Bytes(text.begin(), text.end()); }

std::string error_of(const Bytes& bytes, const titan::DecodeLimits& limits = {}) {
  const auto image = decode_image(bytes, limits);
  REQUIRE(!image.ok());
  return titan::message_of(image.status());
}

void put_be16(Bytes& bytes, std::size_t at, unsigned value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

/// Offset of the size fields (height, width) in a baseline JPEG's frame header.
std::size_t frame_size_offset(const Bytes& jpeg) {
  for (std::size_t i = 2; i + 4 < jpeg.size(); i += 2 + jpeg[i + 2] * 256U + jpeg[i + 3])
    if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xC0) return i + 5;
  return 0;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a PNG comes back pixel for pixel in every mode it is written in", "[io]") {
  for (const PixelMode mode :
       {PixelMode::kGray, PixelMode::kGrayAlpha, PixelMode::kRgb, PixelMode::kRgba}) {
    const Image image = noise(13, 7, mode);
    const auto decoded = decode_image(png_bytes(image));
    REQUIRE(decoded.ok());
    REQUIRE(decoded->mode == mode);
    REQUIRE(decoded->pixels == image.pixels);
  }
}

TEST_CASE("a JPEG of one colour comes back as that colour", "[io]") {
  Image image(17, 9, PixelMode::kRgb);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = i % 3 == 0 ? 200 : 30;
  const auto decoded = decode_image(jpeg_bytes(image));
  REQUIRE(decoded.ok());
  REQUIRE(decoded->width == 17);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    REQUIRE(std::abs(int{decoded->pixels[i]} - int{image.pixels[i]}) <=
            3);  // quantisation at quality 95
}

TEST_CASE("bytes that are no image are refused by name", "[io]") {
  REQUIRE(contains(error_of({}), "not a JPEG, PNG or WebP image (0 bytes)"));
  REQUIRE(
      contains(error_of(from_text("hello, this is no image")), "not a JPEG, PNG or WebP image"));
  REQUIRE(contains(error_of(from_text("GIF89a........")), "GIF is not supported"));
  REQUIRE(contains(error_of(from_text("BM............")), "BMP is not supported"));
  REQUIRE(contains(error_of(from_text("RIFF\x10 WEBP")), "not a JPEG, PNG or WebP image"));
  REQUIRE(contains(error_of(from_text(std::string("RIFF\x04\0\0\0WEBP", 12))),
                   "WebP header is unreadable"));
}

TEST_CASE("a header that ends early is an error for every cut", "[io]") {
  const Bytes png = png_bytes(noise(8, 8, PixelMode::kRgb));
  for (std::size_t size = 8; size < 33; ++size) {
    INFO(size);
    REQUIRE(contains(error_of(Bytes(png.begin(), png.begin() + static_cast<std::ptrdiff_t>(size))),
                     "PNG header"));
  }
  const Bytes jpeg = jpeg_bytes(noise(8, 8, PixelMode::kRgb));
  const std::size_t frame = frame_size_offset(jpeg);
  REQUIRE(frame > 0);
  for (std::size_t size = 3; size < frame; ++size) {
    INFO(size);
    REQUIRE(
        contains(error_of(Bytes(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size))),
                 "JPEG header"));
  }
}

TEST_CASE("a JPEG that ends early keeps its top and is gray below", "[io]") {
  const Image image(64, 64, PixelMode::kGray);  // black
  Image stripes = noise(64, 64, PixelMode::kGray);
  std::fill(stripes.pixels.begin(), stripes.pixels.begin() + 64 * 16, std::uint8_t{0});
  const Bytes whole = jpeg_bytes(stripes);
  const auto half = decode_image(
      Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2)));
  REQUIRE(half.ok());
  REQUIRE(half->height == 64);
  REQUIRE(half->row(0)[0] < 8);
  // The last block row has no bits left: every block repeats one value.
  for (int y = 56; y < 64; ++y)
    for (int x = 0; x < 64; ++x) REQUIRE(half->row(y)[x] == half->row(63)[8 * (x / 8)]);
}

TEST_CASE("a PNG that ends early keeps its top and is zero below", "[io]") {
  const Image image = noise(64, 64, PixelMode::kRgb);
  const Bytes whole = png_bytes(image);
  const auto half = decode_image(
      Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2)));
  REQUIRE(half.ok());
  const std::size_t row = image.row_bytes();
  REQUIRE(std::equal(half->row(0), half->row(0) + 8 * row, image.row(0)));
  REQUIRE(std::all_of(half->row(60), half->row(60) + 4 * row,
                      [](std::uint8_t byte) { return byte == 0; }));
}

TEST_CASE("a decompression bomb is refused from its header", "[io]") {
  Bytes png = png_bytes(noise(8, 8, PixelMode::kRgb));
  // IHDR holds the size at offsets 16 and 20; its checksum is then wrong, which is not what is
  // tested.
  for (const std::size_t at : {16, 20}) {
    put_be16(png, at, 1);
    put_be16(png, at + 2, 0xFFFF);
  }
  REQUIRE(contains(error_of(png), "decompression bomb"));

  Bytes jpeg = jpeg_bytes(noise(8, 8, PixelMode::kRgb));
  const std::size_t frame = frame_size_offset(jpeg);
  put_be16(jpeg, frame, 65000);
  put_be16(jpeg, frame + 2, 65000);
  REQUIRE(contains(error_of(jpeg), "decompression bomb"));

  titan::DecodeLimits small;
  small.max_bytes = 8 * 8 * 3 - 1;
  REQUIRE(contains(error_of(png_bytes(noise(8, 8, PixelMode::kRgb)), small), "too much memory"));
  small.max_bytes = 8 * 8 * 3;
  REQUIRE(decode_image(png_bytes(noise(8, 8, PixelMode::kRgb)), small).ok());
}

TEST_CASE("no cut and no flipped byte makes a decoder crash", "[io]") {
  for (const Bytes& whole :
       {png_bytes(noise(12, 9, PixelMode::kRgba)), jpeg_bytes(noise(12, 9, PixelMode::kRgb))}) {
    int num_decoded = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
      Bytes changed = whole;
      changed[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
      // A flipped size may ask for much memory; that is the limit's business.
      titan::DecodeLimits limits;
      limits.max_pixels = 1 << 20;
      num_decoded += decode_image(changed, limits).ok() ? 1 : 0;
      num_decoded +=
          decode_image(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at)),
                       limits)
              .ok();
    }
    REQUIRE(num_decoded > 0);
  }
}

TEST_CASE("orientations 2 to 8 mirror and rotate as EXIF says", "[io]") {
  Image image(3, 2, PixelMode::kGray);
  image.pixels = {1, 2, 3,  //
                  4, 5, 6};
  const auto turned = [&](int orientation) { return titan::apply_orientation(image, orientation); };
  REQUIRE(turned(1).pixels == Bytes{1, 2, 3, 4, 5, 6});
  REQUIRE(turned(2).pixels == Bytes{3, 2, 1, 6, 5, 4});
  REQUIRE(turned(3).pixels == Bytes{6, 5, 4, 3, 2, 1});
  REQUIRE(turned(4).pixels == Bytes{4, 5, 6, 1, 2, 3});
  REQUIRE(turned(5).pixels == Bytes{1, 4, 2, 5, 3, 6});
  REQUIRE(turned(6).pixels == Bytes{4, 1, 5, 2, 6, 3});
  REQUIRE(turned(7).pixels == Bytes{6, 3, 5, 2, 4, 1});
  REQUIRE(turned(8).pixels == Bytes{3, 6, 2, 5, 1, 4});
  REQUIRE(turned(6).width == 2);
  REQUIRE(turned(9).pixels == image.pixels);
}

TEST_CASE("damaged EXIF blocks have no orientation", "[io]") {
  const std::string good("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
                         32);
  REQUIRE(titan::exif_orientation(from_text(good)) == 6);
  REQUIRE(titan::exif_orientation(from_text(good.substr(6))) == 6);
  for (std::size_t size = 0; size < 26; ++size)
    REQUIRE(!titan::exif_orientation(from_text(good.substr(0, size))));
  std::string far = good;
  far[10] = '\x7f';  // the directory lies outside
  REQUIRE(!titan::exif_orientation(from_text(far)));
  REQUIRE(titan::xmp_orientation(from_text("<x tiff:Orientation=\"8\"/>")) == 8);
  REQUIRE(titan::xmp_orientation(from_text("<tiff:Orientation>3</tiff:Orientation>")) == 3);
  REQUIRE(!titan::xmp_orientation(from_text("tiff:Orientation")));
}

TEST_CASE("conversion to RGB drops alpha, clips 16 bits and mixes inks", "[io]") {
  Image rgba(1, 1, PixelMode::kRgba);
  rgba.pixels = {10, 20, 30, 0};
  REQUIRE(titan::to_rgb(rgba).pixels == Bytes{10, 20, 30});
  Image gray16(2, 1, PixelMode::kGray16);
  const std::uint16_t values[2] = {77, 40000};
  std::copy_n(reinterpret_cast<const std::uint8_t*>(values), 4, gray16.pixels.begin());
  REQUIRE(titan::to_rgb(gray16).pixels == Bytes{77, 77, 77, 255, 255, 255});
  Image cmyk(1, 1, PixelMode::kCmyk);
  cmyk.pixels = {255, 0, 128, 0};
  REQUIRE(titan::to_rgb(cmyk).pixels == Bytes{0, 255, 127});
  Image palette(2, 1, PixelMode::kPalette);
  palette.pixels = {1, 0};
  palette.palette.assign(768, 0);
  palette.palette[3] = 9;
  REQUIRE(titan::to_rgb(palette).pixels == Bytes{9, 0, 0, 0, 0, 0});
}
