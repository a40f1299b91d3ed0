#include "titan/io/image_convert.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "titan/base/check.h"

namespace titan {
namespace {

/// a * b / 255, rounded to nearest, without a division.
unsigned multiply_255(unsigned a, unsigned b) {
  const unsigned product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

using ToRgb = void (*)(const std::uint8_t* in, const Image& image, std::uint8_t* out);

void gray_to_rgb(const std::uint8_t* in, const Image&, std::uint8_t* out) {
  out[0] = out[1] = out[2] = in[0];
}

void drop_alpha(const std::uint8_t* in, const Image&, std::uint8_t* out) {
  std::memcpy(out, in, 3);
}

void cmyk_to_rgb(const std::uint8_t* in, const Image&, std::uint8_t* out) {
  const unsigned light = 255U - in[3];
  for (int c = 0; c < 3; ++c)
    out[c] = static_cast<std::uint8_t>(light - multiply_255(in[c], light));
}

void palette_to_rgb(const std::uint8_t* in, const Image& image, std::uint8_t* out) {
  std::memcpy(out, image.palette.data() + 3 * std::size_t{in[0]}, 3);
}

void gray16_to_rgb(const std::uint8_t* in, const Image&, std::uint8_t* out) {
  std::uint16_t value;
  std::memcpy(&value, in, 2);
  out[0] = out[1] = out[2] = static_cast<std::uint8_t>(std::min<std::uint16_t>(value, 255));
}

ToRgb converter(PixelMode mode) {
  switch (mode) {
    case PixelMode::kCmyk:
      return cmyk_to_rgb;
    case PixelMode::kRgba:
      return drop_alpha;
    case PixelMode::kPalette:
      return palette_to_rgb;
    case PixelMode::kGray16:
      return gray16_to_rgb;
    default:
      return gray_to_rgb;
  }
}

/// The 256 values of x / 255 * 2 - 1, each operation rounded to float32 as a tensor library does.
const std::array<float, 256>& unit_table() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values;
    for (int i = 0; i < 256; ++i) {
      const float unit = static_cast<float>(i) / 255.0F;
      values[static_cast<std::size_t>(i)] = unit * 2.0F - 1.0F;
    }
    return values;
  }();
  return table;
}

}  // namespace

Image to_rgb(Image image) {
  if (image.mode == PixelMode::kRgb) return image;
  const ToRgb convert = converter(image.mode);
  TITAN_CHECK(image.mode != PixelMode::kPalette || image.palette.size() == 768,
              "[image] a palette must have 256 colours (", image.palette.size(), " bytes)");
  Image out(image.width, image.height, PixelMode::kRgb);
  const auto step = static_cast<std::size_t>(bytes_per_pixel(image.mode));
  const std::uint8_t* in = image.pixels.data();
  for (std::size_t at = 0; at < out.pixels.size(); at += 3, in += step)
    convert(in, image, out.pixels.data() + at);
  return out;
}

void premultiply_alpha(Image& image) {
  const auto size = static_cast<std::size_t>(bytes_per_pixel(image.mode));
  for (std::size_t at = 0; at < image.pixels.size(); at += size) {
    std::uint8_t* pixel = image.pixels.data() + at;
    const unsigned alpha = pixel[size - 1];
    for (std::size_t c = 0; c + 1 < size; ++c)
      pixel[c] = static_cast<std::uint8_t>(multiply_255(pixel[c], alpha));
  }
}

void unpremultiply_alpha(Image& image) {
  const auto size = static_cast<std::size_t>(bytes_per_pixel(image.mode));
  for (std::size_t at = 0; at < image.pixels.size(); at += size) {
    std::uint8_t* pixel = image.pixels.data() + at;
    const unsigned alpha = pixel[size - 1];
    if (alpha == 0 || alpha == 255) continue;
    for (std::size_t c = 0; c + 1 < size; ++c)
      pixel[c] = static_cast<std::uint8_t>(std::min(255U * pixel[c] / alpha, 255U));
  }
}

void flip_horizontally(Image& image) {
  const auto size = static_cast<std::size_t>(bytes_per_pixel(image.mode));
  for (int y = 0; y < image.height; ++y) {
    std::uint8_t* left = image.row(y);
    std::uint8_t* right = left + image.row_bytes() - size;
    for (; left < right; left += size, right -= size) std::swap_ranges(left, left + size, right);
  }
}

void write_chw(const Image& image, float* out) {
  TITAN_CHECK(image.mode == PixelMode::kRgb, "[image] write_chw takes an RGB image (mode ",
              static_cast<int>(image.mode), ")");
  const std::array<float, 256>& table = unit_table();
  const std::size_t num_pixels = image.pixels.size() / 3;
  const std::uint8_t* in = image.pixels.data();
  float* red = out;
  float* green = out + num_pixels;
  float* blue = out + 2 * num_pixels;
  for (std::size_t i = 0; i < num_pixels; ++i, in += 3) {
    red[i] = table[in[0]];
    green[i] = table[in[1]];
    blue[i] = table[in[2]];
  }
}

}  // namespace titan
