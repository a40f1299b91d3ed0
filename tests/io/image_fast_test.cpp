// JPEGs decoded smaller than they are (fast_jpeg): the geometry of the exact way, other pixels.
#include "tests/support/catch.h"

#include "tests/io/image_golden.h"

#include <cmath>
#include <cstdio>

#include "titan/io/image_pipeline.h"
#include "titan/io/image_write.h"

using titan::CropRule;
using titan::Image;
using titan::PixelMode;
using titan::testing::Bytes;

namespace {

/// Waves of 32 pixels: smooth, so that every way of making it smaller gives nearly the same.
Image waves(int width, int height) {
  Image image(width, height, PixelMode::kRgb);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        image.row(y)[3 * x + c] = static_cast<std::uint8_t>(128 + 60 * std::sin(x * 0.2 + c) +
                                                            60 * std::cos(y * 0.2 - c));
  return image;
}

double psnr(const Image& a, const Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  double squares = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    squares += std::pow(int{a.pixels[i]} - int{b.pixels[i]}, 2);
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.pixels.size()) / squares);
}

titan::TrainingImageOptions options_of(int width, int height) {
  titan::TrainingImageOptions options;
  options.width = width;
  options.height = height;
  return options;
}

/// Puts an EXIF block with this orientation behind the start of a JPEG.
Bytes turned(Bytes jpeg, int orientation) {
  const auto value = static_cast<std::uint8_t>(orientation);
  const Bytes exif = {0xFF, 0xE1, 0, 34,   'E', 'x', 'i', 'f', 0, 0, 'M', 'M',   0, 42, 0, 0, 0, 8,
                      0,    1,    1, 0x12, 0,   3,   0,   0,   0, 1, 0,   value, 0, 0,  0, 0, 0, 0};
  jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
  return jpeg;
}

}  // namespace

TEST_CASE("a JPEG comes at the smallest of 1/1, 1/2, 1/4, 1/8 that covers", "[io]") {
  const Bytes jpeg = titan::encode_jpeg(waves(203, 121)).value();
  const auto size_for = [&](int width, int height) {
    const auto scaled = titan::decode_image_covering(jpeg, {width, height});
    REQUIRE(scaled.ok());
    CHECK(scaled->full_width == 203);
    CHECK(scaled->full_height == 121);
    return std::pair(scaled->image.width, scaled->image.height);
  };
  CHECK(size_for(26, 16) == std::pair(26, 16));
  CHECK(size_for(27, 1) == std::pair(51, 31));
  CHECK(size_for(1, 32) == std::pair(102, 61));
  CHECK(size_for(102, 61) == std::pair(102, 61));
  CHECK(size_for(103, 61) == std::pair(203, 121));
  CHECK(size_for(500, 500) == std::pair(203, 121));
  const Bytes png = titan::encode_png(waves(203, 121)).value();
  CHECK(titan::decode_image_covering(png, {1, 1})->image.width == 203);
  const auto upright = titan::decode_image_covering(turned(jpeg, 6), {16, 26});
  REQUIRE(upright.ok());
  CHECK(upright->full_width == 121);
  CHECK(upright->image.width == 16);
  CHECK(upright->image.height == 26);
}

TEST_CASE("fast_jpeg keeps sizes, crops and the skip rule", "[io]") {
  const std::vector<std::pair<int, int>> sizes = {{64, 64}, {100, 40}, {200, 200}, {401, 401}};
  for (const int orientation : {1, 3, 6, 8}) {
    INFO("orientation " << orientation);
    const Bytes jpeg = turned(titan::encode_jpeg(waves(640, 401)).value(), orientation);
    for (const auto& [width, height] : sizes) {
      INFO(width << " x " << height);
      auto exact = options_of(width, height);
      auto fast = exact;
      fast.fast_jpeg = true;
      for (std::uint64_t sample = 0; sample < 5; ++sample) {
        const titan::ImageDrawKey key{.seed = 1, .epoch = 0, .sample = sample};
        const Image a = titan::load_training_image(jpeg, exact, key).value();
        const Image b = titan::load_training_image(jpeg, fast, key).value();
        CHECK(b.width == width);
        CHECK(b.height == height);
        // Another crop of these waves would give some 15 dB.
        CHECK(psnr(a, b) > 22);
      }
    }
    auto options = options_of(402, 300);
    options.fast_jpeg = options.skip_small = true;
    const bool is_turned = orientation >= 5;
    CHECK(titan::load_training_image(jpeg, options, {}).ok() == !is_turned);
  }
}

TEST_CASE("fast_jpeg changes nothing where no scale covers", "[io]") {
  const Bytes jpeg = titan::encode_jpeg(waves(126, 126)).value();
  auto options = options_of(64, 64);
  const Image exact = titan::load_training_image(jpeg, options, {}).value();
  options.fast_jpeg = true;
  CHECK(titan::load_training_image(jpeg, options, {})->pixels == exact.pixels);
}

TEST_CASE("fast_jpeg stays near the exact pixels of real photographs", "[io][golden]") {
  if (!std::filesystem::exists(titan::testing::photo_tar()))
    TITAN_SKIP("no photographs (shared/data/cc12m_test)");
  for (const int side : {64, 256}) {
    double lowest = 99, sum = 0;
    int count = 0;
    for (const auto& [name, file] : titan::testing::read_tar(titan::testing::photo_tar())) {
      if (!name.ends_with(".jpg")) continue;
      INFO(name << " to " << side);
      auto options = options_of(side, side);
      options.crop = CropRule::kCenter;
      const Image exact = titan::load_training_image(file, options, {}).value();
      options.fast_jpeg = true;
      const Image fast = titan::load_training_image(file, options, {}).value();
      if (fast.pixels == exact.pixels) continue;
      const double value = psnr(exact, fast);
      CHECK(value > 22);  // libjpeg's small transform averages a little sharper than bicubic
      lowest = std::min(lowest, value);
      sum += value;
      ++count;
    }
    REQUIRE(count > 0);
    std::printf(
        "fast_jpeg to %d: %d photographs decoded smaller, PSNR %.1f dB on average, at least %.1f\n",
        side, count, sum / count, lowest);
  }
}
