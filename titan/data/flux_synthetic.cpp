// Made-up preprocessed samples in the sizes that the config names, for tests, debugging and
// benchmarks: a few prompts with fixed encodings, and latents that follow their prompt, so that a
// model has something to learn.
#include <ATen/ATen.h>

#include <algorithm>

#include "titan/base/philox.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

constexpr int64_t kNumSamples = 1'000'000;
constexpr int64_t kNumPrompts = 16;
constexpr int64_t kLatentChannels = 16;  // Flux's autoencoder
constexpr int64_t kPixelsPerLatent = 8;
constexpr std::uint64_t kSeed = 0;  // the data do not depend on the job's

/// Which of the draws of one prompt or sample: the epoch of the Philox counter.
enum Draw : std::uint32_t { kT5 = 0, kClip = 1, kPattern = 2, kNoise = 3 };

/// Normal values in bfloat16: offset + scale x draw.
at::Tensor draw(const std::vector<int64_t>& shape, std::uint64_t sample, Draw which, float offset,
                float scale) {
  at::Tensor tensor = at::empty(shape, at::kBFloat16);
  auto* out = tensor.mutable_data_ptr<c10::BFloat16>();
  const int64_t count = tensor.numel();
  const std::uint64_t key = philox_key(kSeed, RandomPurpose::kSynthetic);
  for (int64_t i = 0; i < count; i += 4) {
    const PhiloxBlock block = philox4x32(key, static_cast<std::uint32_t>(i / 4), sample, which);
    float values[4];
    normal_pair(block.word[0], block.word[1], &values[0], &values[1]);
    normal_pair(block.word[2], block.word[3], &values[2], &values[3]);
    for (int64_t j = i; j < std::min(count, i + 4); ++j) out[j] = offset + scale * values[j - i];
  }
  return tensor;
}

struct Prompt {
  at::Tensor t5, clip, pattern;
};

class FluxSynthetic : public Dataset {
 public:
  FluxSynthetic(std::vector<int64_t> t5, int64_t clip, std::vector<int64_t> latent)
      : latent_(std::move(latent)) {
    for (int64_t i = 0; i < kNumPrompts; ++i) {
      const auto id = static_cast<std::uint64_t>(i);
      // Spreads as the real encoders' and autoencoder's: 0.1, 1, and latents of about 3.
      prompts_.push_back({draw(t5, id, kT5, 0, 0.1F), draw({clip}, id, kClip, 0, 1),
                          draw(latent_, id, kPattern, 0, 2)});
    }
    fingerprint_ = str_cat("flux_synthetic-", shape_text(t5), "-", clip, "-", shape_text(latent_));
  }

  int64_t size() const override { return kNumSamples; }
  std::string describe(int64_t index) const override { return str_cat("flux_synthetic:", index); }
  std::string fingerprint() const override { return fingerprint_; }

  StatusOr<Sample> read(int64_t index, const DrawKey& /*key*/) const override {
    const Prompt& prompt = prompts_[static_cast<std::size_t>(index % kNumPrompts)];
    // Behind the prompts' own draws.
    const auto id = static_cast<std::uint64_t>(kNumPrompts + index);
    at::Tensor mean = draw(latent_, id, kNoise, 0, 0.5F);
    auto* values = mean.mutable_data_ptr<c10::BFloat16>();
    const auto* pattern = prompt.pattern.const_data_ptr<c10::BFloat16>();
    for (int64_t i = 0; i < mean.numel(); ++i) values[i] += pattern[i];
    Sample sample;
    sample.fields.set("t5_encodings", prompt.t5);
    sample.fields.set("clip_encodings", prompt.clip);
    sample.fields.set("mean", mean);
    sample.fields.set("logvar", draw(latent_, id, kPattern, -8, 0.5F));
    sample.fields.set("timestep", label_tensor(index % kNumEvalTimesteps));
    return sample;
  }

 private:
  std::vector<int64_t> latent_;
  std::vector<Prompt> prompts_;
  std::string fingerprint_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_flux_synthetic(const JobConfig& config) {
  ImageSides sides = image_sides(config);
  if (config.dataset.image_size.empty()) {  // from pixels
    sides.height /= kPixelsPerLatent;
    sides.width /= kPixelsPerLatent;
  }
  // Two by two latents make a token of Flux.
  if (sides.height < 2 || sides.width < 2 || sides.height % 2 != 0 || sides.width % 2 != 0)
    return invalid_argument("[flux_synthetic] sides of the latents must be even (", sides.height,
                            " x ", sides.width, "; dataset.image_size, or training.img_size / ",
                            kPixelsPerLatent, ")");
  const EncoderSection& encoder = config.encoder;
  return std::make_unique<FluxSynthetic>(
      std::vector<int64_t>{encoder.max_t5_encoding_len, encoder.context_in_dim}, encoder.vec_in_dim,
      std::vector<int64_t>{kLatentChannels, sides.height, sides.width});
}

}  // namespace titan
