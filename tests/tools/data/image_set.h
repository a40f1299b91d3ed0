// image_set.h: small tars of pictures for the tests of convert-data.
#pragma once

#include <string>
#include <vector>

#include "tests/support/tar_builder.h"
#include "titan/io/image_write.h"

namespace titan::testing {

/// A JPEG of one colour.
inline std::string jpeg(int width, int height, PixelMode mode = PixelMode::kRgb,
                        std::uint8_t value = 90) {
  Image image(width, height, mode);
  for (std::uint8_t& byte : image.pixels) byte = value;
  const auto bytes = encode_jpeg(image);
  return {bytes->begin(), bytes->end()};
}

/// Appends a sample of cc12m's three members.
inline TarBuilder& add_sample(TarBuilder& tar, const std::string& key, const std::string& image,
                              const std::string& txt = "a caption",
                              const std::string& json = R"({"width": 3, "error_message": null})") {
  return tar.add(key + ".jpg", image).add(key + ".json", json).add(key + ".txt", txt);
}

}  // namespace titan::testing
