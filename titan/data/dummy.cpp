// The reference's `dummy`: one random picture, 128 times.
#include <utility>

#include "titan/base/philox.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/image_sample.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

constexpr int64_t kNumSamples = 128;
constexpr int kSide = 256;
constexpr const char* kCaption = "A photo of a cat";

/// The same bytes on every machine (the reference draws its own from NumPy, unseeded).
Image random_picture() {
  Image image(kSide, kSide, PixelMode::kRgb);
  const std::uint64_t key = philox_key(0, RandomPurpose::kSynthetic);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    const PhiloxBlock block = philox4x32(key, static_cast<std::uint32_t>(i / 4), 0, 0);
    image.pixels[i] = static_cast<std::uint8_t>(block.word[i % 4] >> 24);
  }
  return image;
}

class Dummy : public Dataset {
 public:
  explicit Dummy(const TrainingImageOptions& options)
      : picture_(random_picture()), options_(options) {}

  int64_t size() const override { return kNumSamples; }
  std::string describe(int64_t index) const override { return str_cat("dummy:", index); }
  std::string fingerprint() const override { return "dummy"; }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    return image_sample(picture_,
                        {.key = str_cat(index),
                         .caption = kCaption,
                         .label = {},
                         .timestep = index % kNumEvalTimesteps},
                        options_, index, key);
  }

 private:
  Image picture_;
  TrainingImageOptions options_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_dummy(const JobConfig& config) {
  return std::make_unique<Dummy>(training_image_options(config));
}

}  // namespace titan
