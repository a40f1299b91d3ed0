// picture_coder.h: the two ways from pictures to latents and back: a trained autoencoder, and
// moving pixels.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "titan/models/encoders/autoencoder.h"
#include "titan/protocols/batch_encoder.h"

namespace titan::models {

class PictureCoder {
 public:
  virtual ~PictureCoder() = default;
  /// Pixels along a side that become one latent.
  virtual int64_t reduction() const = 0;
  /// Channels of the latents.
  virtual int64_t channels() const = 0;
  /// image [B, 3, H, W] in [-1, 1] -> [B, channels, H / reduction, W / reduction] each.
  virtual Posterior encode(const at::Tensor& image) const = 0;
  /// z (neither scaled nor shifted) -> pictures [B, 3, H, W], not clamped.
  virtual at::Tensor decode(const at::Tensor& z) const = 0;
  /// The network that someone has to fill.
  virtual std::optional<EncoderPart> part() const { return std::nullopt; }
};

std::shared_ptr<PictureCoder> make_autoencoder_coder(std::shared_ptr<Autoencoder> network,
                                                     std::string weights);
/// Squares of patch x patch pixels become channels: mean [B, 3 patch^2, H / patch, W / patch] with
/// no spread.
std::shared_ptr<PictureCoder> make_pixel_coder(int64_t patch);

}  // namespace titan::models
