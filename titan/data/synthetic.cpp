#include <ATen/ATen.h>

#include "titan/base/philox.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

// As TorchDiTan's imagenet_dummy: large enough that no run comes to its end.
constexpr int64_t kNumSamples = 1'000'000;
constexpr int64_t kDefaultClasses = 10;
// Both the class means and the noise around them come from this seed: the data do not depend on the
// job's.
constexpr std::uint64_t kSeed = 0;

class Synthetic : public Dataset {
 public:
  Synthetic(int64_t channels, ImageSides sides, int64_t num_classes)
      : channels_(channels), sides_(sides), num_classes_(num_classes) {}

  int64_t size() const override { return kNumSamples; }

  StatusOr<Sample> read(int64_t index, const DrawKey& /*key*/) const override {
    const int64_t label = index % num_classes_;
    at::Tensor image = at::empty({channels_, sides_.height, sides_.width}, at::kFloat);
    auto* out = image.mutable_data_ptr<float>();
    const int64_t area = sides_.height * sides_.width;
    const std::uint64_t key = philox_key(kSeed, RandomPurpose::kSynthetic);
    PhiloxBlock block{};
    float mean = 0;
    for (int64_t i = 0; i < channels_ * area; ++i) {
      // Epoch 1 holds the class means, epoch 0 the noise: draws of one key must not meet.
      const auto channel = static_cast<std::uint32_t>(i / area);
      if (i % area == 0)
        mean = random_uniform(kSeed, RandomPurpose::kSynthetic, static_cast<std::uint64_t>(label),
                              1, channel) -
               0.5F;
      if (i % 4 == 0)
        block = philox4x32(key, static_cast<std::uint32_t>(i / 4),
                           static_cast<std::uint64_t>(index), 0);
      out[i] = mean + uniform_from_bits(block.word[i % 4]) - 0.5F;
    }
    Sample sample;
    sample.fields.set("image", image);
    sample.fields.set("label", label_tensor(label));
    sample.caption = str_cat("a synthetic image of class ", label);
    return sample;
  }

  std::string describe(int64_t index) const override { return str_cat("synthetic:", index); }
  std::optional<int64_t> label_of(int64_t index) const override { return index % num_classes_; }
  int64_t num_classes() const override { return num_classes_; }
  std::string fingerprint() const override {
    return str_cat("synthetic-", channels_, "x", sides_.height, "x", sides_.width, "-",
                   num_classes_);
  }

 private:
  int64_t channels_;
  ImageSides sides_;
  int64_t num_classes_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_synthetic(const JobConfig& config) {
  const int64_t num_classes =
      config.dataset.num_classes > 0 ? config.dataset.num_classes : kDefaultClasses;
  return std::make_unique<Synthetic>(config.dataset.channels, image_sides(config), num_classes);
}

}  // namespace titan
