// latent_encoder.h: pictures to latents by whichever network a user has.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"

namespace titan::tools {

class LatentEncoder {
 public:
  virtual ~LatentEncoder() = default;

  /// images [B, 3, H, W] float32 in [-1, 1] on the CPU, which are rows first_row, first_row + 1,
  /// ... of the output, to latents [B, C, h, w] float32 on the CPU.
  virtual at::Tensor encode(const at::Tensor& images, int64_t first_row) const = 0;
};

/// Our autoencoder, of any size that `weights` (a file or folder, in either naming) has. Sampled:
/// mean + exp(logvar / 2) * noise, the noise a function of (seed, row); else the mean. Errors:
/// missing files, weights that are none of an autoencoder.
StatusOr<std::unique_ptr<LatentEncoder>> open_autoencoder(const std::string& weights, bool sampled,
                                                          std::uint64_t seed, at::Device device);

/// A TorchScript module (Cosmos: encoder.jit). Its code is run as it is.
StatusOr<std::unique_ptr<LatentEncoder>> open_torchscript(const std::string& path,
                                                          at::Device device);

}  // namespace titan::tools
