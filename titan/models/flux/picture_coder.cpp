#include "titan/models/flux/picture_coder.h"

#include <utility>

#include <ATen/ops/full_like.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/pixel_unshuffle.h>

namespace titan::models {
namespace {

class AutoencoderCoder : public PictureCoder {
 public:
  AutoencoderCoder(std::shared_ptr<Autoencoder> network, std::string weights)
      : network_(std::move(network)), weights_(std::move(weights)) {}

  int64_t reduction() const override { return network_->config().reduction(); }
  int64_t channels() const override { return network_->config().z_channels; }
  Posterior encode(const at::Tensor& image) const override { return network_->encode(image); }
  at::Tensor decode(const at::Tensor& z) const override { return network_->decode(z); }
  std::optional<EncoderPart> part() const override {
    return EncoderPart{"autoencoder", network_, weights_, /*shardable=*/false};
  }

 private:
  std::shared_ptr<Autoencoder> network_;
  std::string weights_;
};

class PixelCoder : public PictureCoder {
 public:
  explicit PixelCoder(int64_t patch) : patch_(patch) {}

  int64_t reduction() const override { return patch_; }
  int64_t channels() const override { return kColours * patch_ * patch_; }
  Posterior encode(const at::Tensor& image) const override {
    const at::Tensor mean = at::pixel_unshuffle(image, patch_);
    return {mean, at::full_like(mean, kNoSpread)};
  }
  at::Tensor decode(const at::Tensor& z) const override { return at::pixel_shuffle(z, patch_); }

 private:
  static constexpr int64_t kColours = 3;
  /// Logarithm of a variance that is nothing beside any value of a pixel.
  static constexpr double kNoSpread = -30;

  int64_t patch_;
};

}  // namespace

std::shared_ptr<PictureCoder> make_autoencoder_coder(std::shared_ptr<Autoencoder> network,
                                                     std::string weights) {
  return std::make_shared<AutoencoderCoder>(std::move(network), std::move(weights));
}

std::shared_ptr<PictureCoder> make_pixel_coder(int64_t patch) {
  return std::make_shared<PixelCoder>(patch);
}

}  // namespace titan::models
