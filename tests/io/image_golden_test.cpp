// Pixels equal to Pillow 11.2.1's, against the golden files.
#include "tests/support/catch.h"

#include "tests/io/image_golden.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "titan/io/image_convert.h"
#include "titan/io/image_pipeline.h"
#include "titan/io/image_resize.h"

#include "tests/support/sha256.h"

using titan::CropRule;
using titan::Image;
using titan::testing::Bytes;
using titan::testing::image_golden;
using titan::testing::sha256_hex;

namespace {

/// The golden fill (golden/flux/README.md) as bytes: trunc((u + 0.5) * 256), which is the hash's
/// top byte.
Image filled_image(const std::string& name, int width, int height) {
  std::uint32_t hash = 2166136261U;
  for (const char letter : name) hash = (hash ^ static_cast<std::uint8_t>(letter)) * 16777619U;
  Image image(width, height, titan::PixelMode::kRgb);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    std::uint32_t x = hash + static_cast<std::uint32_t>(i) * 0x9E3779B9U;
    x = (x ^ (x >> 16)) * 0x85EBCA6BU;
    x = (x ^ (x >> 13)) * 0xC2B2AE35U;
    x ^= x >> 16;
    image.pixels[i] = static_cast<std::uint8_t>(x >> 24);
  }
  return image;
}

std::string tensor_sha256(const Image& image) {
  std::vector<float> values(image.pixels.size());
  titan::write_chw(image, values.data());
  return sha256_hex(values);
}

int largest_difference(const Bytes& a, const Bytes& b) {
  if (a.size() != b.size()) return 256;
  int largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(int{a[i]} - int{b[i]}));
  return largest;
}

titan::TrainingImageOptions centered(int side) {
  titan::TrainingImageOptions options;
  options.width = options.height = side;
  options.crop = CropRule::kCenter;
  return options;
}

}  // namespace

TEST_CASE("bicubic resize equals Pillow's on every synthetic size", "[io][golden]") {
  if (!std::filesystem::exists(image_golden() / "synthetic.json"))
    TITAN_SKIP("no image golden files");
  const auto golden = titan::testing::read_json(image_golden() / "synthetic.json");
  std::size_t num_exact = 0;
  for (const auto& entry : golden.at("images")) {
    const std::string name = entry.at("name");
    const auto source = entry.at("source").get<std::vector<int>>();
    const auto target = entry.at("target").get<std::vector<int>>();
    INFO(name << " -> " << target[0] << "x" << target[1]);
    const Image image = filled_image(name, source[0], source[1]);
    REQUIRE(sha256_hex(image.pixels) == entry.at("source_sha256"));
    const std::string kind = entry.at("kind");
    titan::ImageSize size{target[0], target[1]};
    if (kind.starts_with("cover ")) {
      const int side = std::stoi(kind.substr(6));
      size = titan::cover_size({source[0], source[1]}, {side, side});
      REQUIRE(size == titan::ImageSize{target[0], target[1]});
    }
    const Image resized = titan::resize(image, size);
    CHECK(sha256_hex(resized.pixels) == entry.at("sha256"));
    // The window form must give the same pixels as cropping the whole.
    const titan::PixelWindow window{size.width / 3, size.height / 4, (size.width + 1) / 2,
                                    (size.height + 2) / 3};
    CHECK(titan::resize_window(image, size, window).pixels == titan::crop(resized, window).pixels);
    ++num_exact;
  }
  std::printf("synthetic resize: %zu sizes compared by sha256\n", num_exact);
  REQUIRE(num_exact > 0);
}

TEST_CASE("photographs decode, resize, crop and normalise to Pillow's bytes", "[io][golden]") {
  if (!std::filesystem::exists(image_golden() / "photos.json")) TITAN_SKIP("no image golden files");
  if (!std::filesystem::exists(titan::testing::photo_tar()))
    TITAN_SKIP("no photographs (shared/data/cc12m_test)");
  const auto golden = titan::testing::read_json(image_golden() / "photos.json");
  const auto members = titan::testing::read_tar(titan::testing::photo_tar());
  int num_crops = 0, num_skipped = 0;
  for (const auto& photo : golden.at("photos")) {
    const std::string key = photo.at("key");
    INFO(key);
    const Bytes& file = members.at(key + ".jpg");
    REQUIRE(sha256_hex(file) == photo.at("jpeg_sha256"));
    auto decoded = titan::decode_image(file);
    REQUIRE(decoded.ok());
    REQUIRE(decoded->width == photo.at("width"));
    REQUIRE(decoded->height == photo.at("height"));
    REQUIRE(sha256_hex(titan::to_rgb(*decoded).pixels) == photo.at("decoded_rgb_sha256"));
    for (const auto& [side_text, expected] : photo.at("sizes").items()) {
      INFO("size " << side_text);
      auto options = centered(std::stoi(side_text));
      options.skip_small = true;
      const auto image = titan::load_training_image(file, options, {});
      if (expected.value("skipped", false)) {
        REQUIRE(!image.ok());
        REQUIRE(image.status().code() == absl::StatusCode::kInvalidArgument);
        ++num_skipped;
        continue;
      }
      REQUIRE(image.ok());
      const Image resized = titan::cover_resize(*decoded, {options.width, options.height});
      CHECK(resized.width == expected.at("resized")[0]);
      CHECK(resized.height == expected.at("resized")[1]);
      CHECK(sha256_hex(titan::to_rgb(resized).pixels) == expected.at("resized_rgb_sha256"));
      CHECK(sha256_hex(image->pixels) == expected.at("crop_rgb_sha256"));
      CHECK(tensor_sha256(*image) == expected.at("tensor_fp32_sha256"));
      ++num_crops;
    }
    const auto squashed = titan::resize(titan::to_rgb(*decoded), {256, 256});
    CHECK(sha256_hex(squashed.pixels) == photo.at("coco_squash_rgb_sha256"));
  }
  std::printf("photographs: %d crops compared by sha256, %d skipped for their size\n", num_crops,
              num_skipped);
  REQUIRE(num_crops > 0);
}

TEST_CASE("every format and colour mode gives Pillow's pixels", "[io][golden]") {
  if (!std::filesystem::exists(image_golden() / "modes.json")) TITAN_SKIP("no image golden files");
  const auto golden = titan::testing::read_json(image_golden() / "modes.json");
  const int side = golden.at("size");
  int num_exact = 0, num_errors = 0, worst_lossy = 0;
  for (const auto& entry : golden.at("files")) {
    const std::string name = entry.at("file");
    INFO(name);
    const Bytes file = titan::testing::read_bytes(image_golden() / "modes" / name);
    REQUIRE(sha256_hex(file) == entry.at("sha256"));
    const auto decoded = titan::decode_image(file);
    if (name.ends_with(".gif") || name.ends_with(".bmp") || name.ends_with(".tiff")) {
      // Not read by design: the message must name the format.
      REQUIRE(!decoded.ok());
      CHECK(titan::message_of(decoded.status()).find("is not supported") != std::string::npos);
      ++num_errors;
      continue;
    }
    if (entry.contains("decode_error")) {
      CHECK(!decoded.ok());
      ++num_errors;
      continue;
    }
    INFO(decoded.status().ToString());
    REQUIRE(decoded.ok());
    CHECK(decoded->width == entry.at("size")[0]);
    CHECK(decoded->height == entry.at("size")[1]);
    const Image rgb = titan::to_rgb(*decoded);
    const auto crop = titan::load_training_image(file, centered(side), {});
    REQUIRE(crop.ok());
    if (name.find("lossy.webp") != std::string::npos) {
      // libwebp 1.2 rounds a few pixels otherwise than the 1.5 of the reference: two levels at
      // most.
      const auto tensors = image_golden() / "modes.safetensors";
      const int whole =
          largest_difference(rgb.pixels, titan::testing::read_tensor(tensors, name + ".rgb"));
      const int cropped =
          largest_difference(crop->pixels, titan::testing::read_tensor(tensors, name + ".crop"));
      worst_lossy = std::max({worst_lossy, whole, cropped});
      CHECK(whole <= 2);
      CHECK(cropped <= 2);
      continue;
    }
    CHECK(sha256_hex(rgb.pixels) == entry.at("rgb_sha256"));
    CHECK(tensor_sha256(*crop) == entry.at("tensor_fp32_sha256"));
    ++num_exact;
  }
  std::printf("formats and modes: %d exact, %d errors as expected, lossy WebP within %d levels\n",
              num_exact, num_errors, worst_lossy);
  REQUIRE(num_exact > 0);
}
