// autoencoder.h: images to latents and back, frozen.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/models/encoders/autoencoder_config.h"
#include "titan/protocols/frozen_network.h"

namespace titan::models {

class ImageDecoder;
class ImageEncoder;

/// What the encoder says of latents: mean + exp(logvar / 2) * noise. Each [B, z, h, w], in the
/// dtype of the parameters; logvar is not clamped.
struct Posterior {
  at::Tensor mean, logvar;
};

/// Parameters under Black Forest Labs' names. Two units, "encoder" and "decoder"; a pass runs one
/// of them, so nothing is gained by sharing it over ranks (EncoderPart::shardable).
class Autoencoder : public FrozenNetwork {
 public:
  /// `options`: dtype (float32, bfloat16) and device (meta too) of the parameters.
  Autoencoder(const AutoencoderConfig& config, const at::TensorOptions& options);

  /// image [B, in, H, W] in [-1, 1], any floating-point type (brought to the parameters'). Sides
  /// are reduced config.reduction() times, each halving rounded down; smaller images are an error.
  Posterior encode(const at::Tensor& image) const;
  /// z [B, z, h, w] (neither scaled nor shifted) to images [B, out, H, W], not clamped.
  at::Tensor decode(const at::Tensor& z) const;

  std::vector<ModelUnit> units() const override;
  std::shared_ptr<const WeightFormats> weight_formats() const override;
  const AutoencoderConfig& config() const { return config_; }

 private:
  AutoencoderConfig config_;
  std::shared_ptr<ImageEncoder> encoder_;
  std::shared_ptr<ImageDecoder> decoder_;
};

}  // namespace titan::models
