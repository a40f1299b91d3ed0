#include "titan/io/image_pipeline.h"

#include <utility>

#include "titan/base/philox.h"
#include "titan/io/image_convert.h"
#include "titan/io/image_resize.h"

namespace titan {
namespace {

/// One of `num_offsets` crop positions. The two sides take draws of their own (only one of them is
/// ever longer than the target by the cover rule, but for a rounding step).
int crop_offset(int num_offsets, CropRule rule, const ImageDrawKey& key, std::uint32_t side) {
  if (rule == CropRule::kCenter) return (num_offsets - 1) / 2;
  return static_cast<int>(random_below(static_cast<std::uint32_t>(num_offsets), key.seed,
                                       RandomPurpose::kCrop, key.sample, key.epoch, side));
}

/// `decoded` may be smaller than the picture, whose sides are `full`.
StatusOr<Image> prepare(Image decoded, const ImageSize& full, const TrainingImageOptions& options,
                        const ImageDrawKey& key) {
  TITAN_CHECK(options.width >= 1 && options.height >= 1,
              "[image] target sides must be at least 1 (", options.width, " x ", options.height,
              ")");
  if (options.skip_small && (full.width < options.width || full.height < options.height))
    return invalid_argument("[image] smaller than asked (", full.width, " x ", full.height,
                            ", asked ", options.width, " x ", options.height, ")");
  const ImageSize target{options.width, options.height};
  const ImageSize size = cover_size(full, target);
  const PixelWindow window{crop_offset(size.width - target.width + 1, options.crop, key, 0),
                           crop_offset(size.height - target.height + 1, options.crop, key, 1),
                           target.width, target.height};
  const bool whole = decoded.width == target.width && decoded.height == target.height;
  Image image = to_rgb(whole ? std::move(decoded) : resize_window(decoded, size, window));
  if (options.flip && random_below(2, key.seed, RandomPurpose::kFlip, key.sample, key.epoch) == 1)
    flip_horizontally(image);
  return image;
}

}  // namespace

StatusOr<Image> prepare_training_image(Image decoded, const TrainingImageOptions& options,
                                       const ImageDrawKey& key) {
  const ImageSize full{decoded.width, decoded.height};
  return prepare(std::move(decoded), full, options, key);
}

StatusOr<Image> load_training_image(std::span<const std::uint8_t> bytes,
                                    const TrainingImageOptions& options, const ImageDrawKey& key) {
  if (options.fast_jpeg) {
    TITAN_ASSIGN_OR_RETURN(
        ScaledImage scaled,
        decode_image_covering(bytes, {options.width, options.height}, options.limits));
    return prepare(std::move(scaled.image), {scaled.full_width, scaled.full_height}, options, key);
  }
  TITAN_ASSIGN_OR_RETURN(Image decoded, decode_image(bytes, options.limits));
  return prepare_training_image(std::move(decoded), options, key);
}

}  // namespace titan
