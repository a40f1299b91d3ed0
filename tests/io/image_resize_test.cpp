#include "tests/support/catch.h"

#include "titan/io/image_resize.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include "titan/base/philox.h"
#include "titan/io/image_convert.h"
#include "titan/io/image_pipeline.h"
#include "titan/io/image_resample.h"
#include "titan/io/image_write.h"

using titan::Image;
using titan::PixelMode;

namespace {

Image noise(int width, int height, PixelMode mode) {
  Image image(width, height, mode);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] =
        static_cast<std::uint8_t>(titan::random_bits(9, titan::RandomPurpose::kSynthetic, i, 0));
  if (mode == PixelMode::kPalette) {
    image.palette.resize(768);
    std::iota(image.palette.begin(), image.palette.end(), std::uint8_t{0});
  }
  return image;
}

constexpr PixelMode kModes[] = {PixelMode::kBit,     PixelMode::kGray,  PixelMode::kGrayAlpha,
                                PixelMode::kRgb,     PixelMode::kRgba,  PixelMode::kCmyk,
                                PixelMode::kPalette, PixelMode::kGray16};

}  // namespace

TEST_CASE("a window of a resize is the crop of the whole, in every mode", "[io]") {
  for (const PixelMode mode : kModes) {
    const Image image = noise(37, 23, mode);
    for (const titan::ImageSize size :
         {titan::ImageSize{19, 41}, {37, 60}, {80, 23}, {37, 23}, {5, 3}}) {
      INFO(static_cast<int>(mode) << " " << size.width << "x" << size.height);
      const Image whole = titan::resize(image, size);
      REQUIRE(whole.pixels.size() == whole.row_bytes() * static_cast<std::size_t>(size.height));
      const titan::PixelWindow window{size.width / 3, size.height / 3, (size.width + 1) / 2,
                                      (size.height + 1) / 2};
      const Image part = titan::resize_window(image, size, window);
      REQUIRE(part.pixels == titan::crop(whole, window).pixels);
      REQUIRE(part.palette == image.palette);
    }
  }
}

TEST_CASE("a flat image stays flat at every size", "[io]") {
  for (const PixelMode mode : {PixelMode::kGray, PixelMode::kRgb, PixelMode::kCmyk}) {
    Image image(31, 9, mode);
    std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{201});
    for (const titan::ImageSize size : {titan::ImageSize{1, 1}, {3, 90}, {200, 4}}) {
      const Image resized = titan::resize(image, size);
      REQUIRE(std::all_of(resized.pixels.begin(), resized.pixels.end(),
                          [](std::uint8_t v) { return v == 201; }));
    }
  }
}

#if defined(__x86_64__)
TEST_CASE("the AVX2 passes give the scalar passes' bytes", "[io]") {
  using namespace titan::image_resample;
  if (!avx2_usable()) TITAN_SKIP("this machine has no AVX2");
  for (const int out_size : {1, 5, 64, 300})
    for (const int channels : {3, 4}) {
      const Image image = noise(97, 61, channels == 3 ? PixelMode::kRgb : PixelMode::kRgba);
      std::vector<std::uint8_t> in = image.pixels;
      in.resize(in.size() + kRowSlack);
      const Taps across = bicubic_taps(97, out_size, 0, out_size);
      const std::size_t stride = static_cast<std::size_t>(out_size * channels) + kRowSlack;
      std::vector<std::uint8_t> expected(2 * stride), got(2 * stride);
      horizontal_scalar({in.data(), image.row_bytes(), expected.data(), stride, 2}, channels,
                        across);
      horizontal_avx2({in.data(), image.row_bytes(), got.data(), stride, 2}, channels, across);
      for (std::size_t r = 0; r < 2; ++r)
        REQUIRE(std::equal(&got[r * stride], &got[r * stride] + out_size * channels,
                           &expected[r * stride]));
      const Taps down = bicubic_taps(61, out_size, 0, out_size);
      for (const std::size_t row_bytes :
           {std::size_t{1}, std::size_t{16}, std::size_t{37}, image.row_bytes()})
        for (int i = 0; i < out_size; ++i) {
          std::vector<std::uint8_t> a(row_bytes), b(row_bytes);
          const std::uint8_t* first = image.row(down.first[static_cast<std::size_t>(i)]);
          vertical_scalar(first, image.row_bytes(), row_bytes, down, i, a.data());
          vertical_avx2(first, image.row_bytes(), row_bytes, down, i, b.data());
          REQUIRE(a == b);
        }
    }
}
#endif

TEST_CASE("bicubic weights sum to one and split without loss", "[io]") {
  for (const int in : {1, 2, 7, 640})
    for (const int out : {1, 3, 256}) {
      const auto taps = titan::image_resample::bicubic_taps(in, out, 0, out);
      for (std::size_t i = 0; i < static_cast<std::size_t>(out); ++i) {
        double total = 0;
        for (int t = 0; t < taps.stride(); ++t) {
          const std::size_t at =
              i * static_cast<std::size_t>(taps.stride()) + static_cast<std::size_t>(t);
          total += taps.real[at];
          const std::int16_t* group = &taps.split[(at / 4) * 8];
          REQUIRE(group[at % 4] * 4096 + group[4 + at % 4] == taps.fixed[at]);
        }
        REQUIRE(std::abs(total - 1) < 1e-12);
      }
    }
}

TEST_CASE("the covering size binds one side and rounds the other up", "[io]") {
  REQUIRE(titan::cover_size({500, 375}, {256, 256}) == titan::ImageSize{342, 256});
  REQUIRE(titan::cover_size({333, 500}, {256, 256}) == titan::ImageSize{256, 385});
  REQUIRE(titan::cover_size({100, 100}, {64, 32}) == titan::ImageSize{64, 64});
  REQUIRE(titan::cover_size({400, 100}, {64, 32}) == titan::ImageSize{128, 32});
  for (int side = 1; side < 3000; side += 7)
    REQUIRE(titan::cover_size({side, side}, {256, 256}) == titan::ImageSize{256, 256});
  for (int width = 1; width < 200; width += 3)
    for (int height = 1; height < 200; height += 5) {
      const auto size = titan::cover_size({width, height}, {48, 32});
      REQUIRE((size.width >= 48 && size.height >= 32 && (size.width == 48 || size.height == 32)));
    }
}

TEST_CASE("sizes and windows outside are refused", "[io]") {
  const Image image = noise(4, 4, PixelMode::kRgb);
  REQUIRE_THROWS_WITH(titan::resize(image, {0, 5}),
                      Catch::Contains("[resize] sides must be at least 1 (0 x 5)"));
  REQUIRE_THROWS_WITH(titan::crop(image, {2, 0, 3, 1}),
                      Catch::Contains("[crop] the window must lie inside"));
}

TEST_CASE("crop and flip are functions of seed, epoch and sample", "[io]") {
  const Image image = noise(64, 16, PixelMode::kRgb);
  titan::TrainingImageOptions options;
  options.width = options.height = 16;
  options.flip = true;
  const auto draw = [&](std::uint64_t seed, std::uint32_t epoch, std::uint64_t sample) {
    return titan::prepare_training_image(image, options, {seed, epoch, sample}).value().pixels;
  };
  REQUIRE(draw(1, 0, 5) == draw(1, 0, 5));
  std::set<std::string> seen;
  for (std::uint64_t sample = 0; sample < 40; ++sample) {
    const std::vector<std::uint8_t> pixels = draw(1, 0, sample);
    seen.emplace(pixels.begin(), pixels.end());
  }
  // 49 offsets times two mirrorings: 40 draws share few values.
  REQUIRE(seen.size() > 20);
  REQUIRE(draw(1, 0, 5) != draw(1, 1, 5));
}

TEST_CASE("every crop offset and both mirrorings are drawn", "[io]") {
  Image ramp(8, 4, PixelMode::kRgb);
  for (std::size_t i = 0; i < ramp.pixels.size(); ++i)
    ramp.pixels[i] = static_cast<std::uint8_t>(i / 3 % 8);
  titan::TrainingImageOptions options;
  options.width = options.height = 4;
  options.flip = true;
  int count[5][2] = {};
  for (std::uint64_t sample = 0; sample < 400; ++sample) {
    const Image image = titan::prepare_training_image(ramp, options, {2, 0, sample}).value();
    const int first = image.pixels[0], last = image.pixels[9];
    REQUIRE(std::abs(first - last) == 3);
    ++count[std::min(first, last)][first > last ? 1 : 0];
  }
  for (const auto& offset : count)
    for (const int n : offset) REQUIRE(n > 15);  // expected 40, standard deviation 6
}

TEST_CASE("a small image is refused on wish and enlarged otherwise", "[io]") {
  const auto bytes = titan::encode_png(noise(20, 9, PixelMode::kRgb)).value();
  titan::TrainingImageOptions options;
  options.width = options.height = 16;
  REQUIRE(titan::load_training_image(bytes, options, {})->width == 16);
  options.skip_small = true;
  const auto refused = titan::load_training_image(bytes, options, {});
  REQUIRE(!refused.ok());
  REQUIRE(titan::message_of(refused.status()) ==
          "[image] smaller than asked (20 x 9, asked 16 x 16)");
}

TEST_CASE("write_chw splits channels and maps 0..255 to -1..1", "[io]") {
  Image image(2, 1, PixelMode::kRgb);
  image.pixels = {0, 255, 51, 255, 0, 204};
  float out[6];
  titan::write_chw(image, out);
  REQUIRE(out[0] == -1.0F);
  REQUIRE(out[1] == 1.0F);
  REQUIRE(out[2] == 1.0F);
  REQUIRE(out[3] == -1.0F);
  REQUIRE(out[4] == 51.0F / 255.0F * 2.0F - 1.0F);
  REQUIRE(out[5] == 204.0F / 255.0F * 2.0F - 1.0F);
}
