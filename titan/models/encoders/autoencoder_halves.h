// autoencoder_halves.h: an autoencoder's encoder and decoder. Private to this folder.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/encoders/autoencoder_config.h"
#include "titan/models/encoders/autoencoder_layers.h"

namespace titan::models {

/// "conv_in", "down.<level>", "mid", "norm_out", "conv_out".
class ImageEncoder : public torch::nn::Module {
 public:
  ImageEncoder(const AutoencoderConfig& config, const at::TensorOptions& options);
  /// [B, in, H, W] to [B, 2 z, H / reduction, W / reduction], each halving rounded down.
  at::Tensor forward(const at::Tensor& image) const;

 private:
  struct Level {
    std::vector<std::shared_ptr<ResnetBlock>> blocks;
    std::shared_ptr<Conv2d> downsample;  ///< null for the last
  };
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::vector<Level> levels_;
  std::shared_ptr<MiddleBlock> middle_;
  std::shared_ptr<GroupNorm> norm_out_;
};

/// "conv_in", "mid", "up.<level>" (computed from the last level to the first), "norm_out",
/// "conv_out".
class ImageDecoder : public torch::nn::Module {
 public:
  ImageDecoder(const AutoencoderConfig& config, const at::TensorOptions& options);
  /// [B, z, h, w] to [B, out, reduction h, reduction w].
  at::Tensor forward(const at::Tensor& z) const;

 private:
  struct Level {
    std::vector<std::shared_ptr<ResnetBlock>> blocks;
    std::shared_ptr<Conv2d> upsample;  ///< null for the first
  };
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::vector<Level> levels_;
  std::shared_ptr<MiddleBlock> middle_;
  std::shared_ptr<GroupNorm> norm_out_;
};

}  // namespace titan::models
