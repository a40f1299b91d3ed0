// data_shape.h: what the data set tells the model, known before the model is built.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace titan {

/// Channels, size, classes of one sample.
struct DataShape {
  /// C, H, W (or C, T, H, W) of "image"; of preprocessed latents those of "mean".
  std::vector<int64_t> image;
  int64_t num_classes = 0;  ///< 0 = samples have no class
  /// Sizes of every field of one sample, by name: {"image", {3, 32, 32}}, {"label", {}},
  /// {"t5_encodings", {256, 4096}}.
  std::map<std::string, std::vector<int64_t>> fields = {};

  /// Whether samples carry the field.
  bool has(const std::string& field) const { return fields.count(field) != 0; }
};

}  // namespace titan
