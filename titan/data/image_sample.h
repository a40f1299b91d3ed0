// image_sample.h: a stored picture and what comes with it -> a sample. Every data set of images
// ends here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "titan/base/status.h"
#include "titan/data/dataset.h"
#include "titan/io/image_pipeline.h"

namespace titan {

/// What comes with a picture.
struct ImageFacts {
  std::string key;
  std::string caption;
  std::optional<int64_t> label;
  std::optional<int64_t> timestep;  ///< of an evaluation set: 0 to 7
};

/// Decodes the bytes of an image file and prepares the picture (load_training_image, its draws
/// keyed by `index`). Fields: "image" [3, H, W] float32 in [-1, 1], and where the facts have them
/// "label" and "timestep" [] int64. Errors, all of one sample: load_training_image's; kDataLoss for
/// a caption that is not UTF-8 or above 1 MiB; kInvalidArgument for a timestep outside 0 to 7.
StatusOr<Sample> image_sample(std::string_view bytes, ImageFacts facts,
                              const TrainingImageOptions& options, int64_t index,
                              const DrawKey& key);

/// The same for a picture that is decoded already.
StatusOr<Sample> image_sample(Image decoded, ImageFacts facts, const TrainingImageOptions& options,
                              int64_t index, const DrawKey& key);

}  // namespace titan
