// image_pipeline.h: bytes of an image file -> the pixels a model is trained on.
#pragma once

#include <cstdint>
#include <span>

#include "titan/base/status.h"
#include "titan/io/image.h"
#include "titan/io/image_decode.h"

namespace titan {

enum class CropRule : std::uint8_t { kRandom, kCenter };

struct TrainingImageOptions {
  int height = 256;
  int width = 256;
  CropRule crop = CropRule::kRandom;
  bool flip = false;        ///< mirror left-right in half of the draws
  bool skip_small = false;  ///< refuse an image with a side below the target's
  bool fast_jpeg = false;   ///< decode a JPEG at 1/2, 1/4 or 1/8 where that still covers the target
  DecodeLimits limits;
};

/// Key of one sample's crop and flip (base/philox.h): equal keys give equal draws on any layout and
/// after a resume.
struct ImageDrawKey {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t sample = 0;  ///< index of the sample in its data set
};

/// Decodes, turns upright, tests the size, resizes to cover height x width in the file's own mode,
/// crops along the long side, converts to RGB, flips: the reference trainer's order. A random crop
/// draws uniformly from all offsets. Errors: decode_image's; kInvalidArgument for an image that
/// skip_small refuses. With fast_jpeg a large JPEG is decoded smaller first
/// (decode_image_covering); sizes, the skip rule and the crop are those of the exact way, the
/// pixels are not.
StatusOr<Image> load_training_image(std::span<const std::uint8_t> bytes,
                                    const TrainingImageOptions& options, const ImageDrawKey& key);

/// The same for an image that is decoded already.
StatusOr<Image> prepare_training_image(Image decoded, const TrainingImageOptions& options,
                                       const ImageDrawKey& key);

}  // namespace titan
