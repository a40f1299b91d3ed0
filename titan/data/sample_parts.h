// sample_parts.h: what the data sets share: settings of images, tensors of a sample, lists of
// files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/hash.h"
#include "titan/base/status.h"
#include "titan/data/dataset.h"
#include "titan/io/image_pipeline.h"

namespace titan {

/// Height and width that samples get: dataset.image_size, else training.img_size squared.
struct ImageSides {
  int64_t height = 0;
  int64_t width = 0;
};
ImageSides image_sides(const JobConfig& config);

/// How images are prepared: size, crop, flip, whether small ones are refused.
TrainingImageOptions training_image_options(const JobConfig& config);

/// [3, H, W] float32 in [-1, 1] of a kRgb image.
at::Tensor image_tensor(const Image& image);
/// [] int64.
at::Tensor label_tensor(int64_t label);

/// An error where `label` is not a class: "class id out of range".
Status check_label(int64_t label, int64_t num_classes);

/// Regular files in `folder` whose name ends in one of `endings` (compared in lower case), sorted.
StatusOr<std::vector<std::filesystem::path>> files_ending_in(
    const std::filesystem::path& folder, const std::vector<std::string>& endings);
bool ends_in(const std::filesystem::path& file, const std::vector<std::string>& endings);

/// Regular files anywhere below `folder` with such an ending, as paths relative to it, sorted.
/// Hidden files are left out, links to folders followed.
StatusOr<std::vector<std::string>> files_below(const std::filesystem::path& folder,
                                               const std::vector<std::string>& endings);

/// Endings of image files that can be decoded.
const std::vector<std::string>& image_endings();

/// Hash of a data set's description, fed line by line.
class Fingerprint {
 public:
  template <class... Parts>
  void add(const Parts&... parts) {
    const std::string line = str_cat(parts..., "\n");
    hash_.update(line.data(), line.size());
  }
  std::string hex() const { return hash_.hex(); }

 private:
  Xxh3Stream hash_;
};

}  // namespace titan
