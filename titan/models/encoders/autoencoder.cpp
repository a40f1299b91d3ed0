#include "titan/models/encoders/autoencoder.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/models/encoders/autoencoder_halves.h"
#include "titan/models/encoders/network_units.h"

namespace titan::models {

constexpr std::size_t kEncoder = 0, kDecoder = 1;  // units

Autoencoder::Autoencoder(const AutoencoderConfig& config, const at::TensorOptions& options)
    : config_(config) {
  TITAN_CHECK(!config.widths.empty(), "[autoencoder] there is at least one level");
  encoder_ = register_module("encoder", std::make_shared<ImageEncoder>(config, options));
  decoder_ = register_module("decoder", std::make_shared<ImageDecoder>(config, options));
  freeze(*this);
}

Posterior Autoencoder::encode(const at::Tensor& image) const {
  TITAN_CHECK(image.dim() == 4 && image.size(1) == config_.in_channels &&
                  std::min(image.size(2), image.size(3)) >= config_.reduction(),
              "[autoencoder] images must be [B, ", config_.in_channels,
              ", H, W] with sides of at least ", config_.reduction(), " (images=", image.sizes(),
              ")");
  const at::NoGradGuard no_grad;
  begin_pass();
  const at::Tensor out = run_unit(kEncoder, [&] {
    return encoder_->forward(image.to(encoder_->parameters().front().scalar_type()));
  });
  const int64_t z = config_.z_channels;
  return {.mean = out.narrow(1, 0, z).contiguous(), .logvar = out.narrow(1, z, z).contiguous()};
}

at::Tensor Autoencoder::decode(const at::Tensor& z) const {
  TITAN_CHECK(z.dim() == 4 && z.size(1) == config_.z_channels, "[autoencoder] latents must be [B, ",
              config_.z_channels, ", h, w] (latents=", z.sizes(), ")");
  const at::NoGradGuard no_grad;
  begin_pass();
  return run_unit(
             kDecoder,
             [&] { return decoder_->forward(z.to(decoder_->parameters().front().scalar_type())); })
      .contiguous();
}

std::vector<ModelUnit> Autoencoder::units() const {
  return units_by_name(*this, {{"encoder", "encoder."}, {"decoder", "decoder."}});
}

std::shared_ptr<const WeightFormats> Autoencoder::weight_formats() const {
  return autoencoder_weight_formats();
}

}  // namespace titan::models
