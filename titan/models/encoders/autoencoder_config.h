// autoencoder_config.h: the sizes of an autoencoder and where they are read from. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"
#include "titan/protocols/weight_formats.h"

namespace titan::models {

/// The convolutional autoencoder of Rombach et al. 2021, arXiv:2112.10752, without quantisation
/// convolutions. Defaults are those of Flux.
struct AutoencoderConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t ch = 128;                                    ///< channels behind the first convolution
  std::vector<int64_t> widths = {128, 256, 512, 512};  ///< of the levels, full resolution first
  int64_t blocks = 2;  ///< residual blocks of a level; the decoder has one more
  int64_t z_channels = 16;
  int64_t norm_groups = 32;

  /// Pixels per latent along a side.
  int64_t reduction() const { return int64_t{1} << (widths.size() - 1); }
};

/// Reads the sizes off tensors under either naming. What is missing, unknown or contradicts the
/// others is named (kFailedPrecondition).
StatusOr<AutoencoderConfig> autoencoder_config_of(const std::vector<TensorSpec>& stored);

/// The same for a safetensors file, an index, or a folder that holds one; a config.json beside it
/// (diffusers) says what shapes cannot. Errors name the file.
StatusOr<AutoencoderConfig> read_autoencoder_config(const std::string& weights_path);

/// Formats "bfl" (encoder.down.0.block.0...) and "diffusers" (AutoencoderKL).
std::shared_ptr<const WeightFormats> autoencoder_weight_formats();

}  // namespace titan::models
