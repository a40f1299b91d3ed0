// scripted_decoder.h: an image tokenizer that is a TorchScript file (Cosmos tokenizers: encoder.jit
// and decoder.jit) instead of our own autoencoder.
#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "titan/base/status.h"

namespace titan::models {

/// A TorchScript module of one tensor. Its code is run as it is: use files you trust.
class ScriptedModule {
 public:
  /// Loads the file to `device`. kNotFound says where such files come from; a file that is no
  /// TorchScript is kInvalidArgument.
  static StatusOr<ScriptedModule> open(const std::string& path, at::Device device);

  ScriptedModule(ScriptedModule&&) noexcept;
  ScriptedModule& operator=(ScriptedModule&&) noexcept;
  ~ScriptedModule();

  /// latents [B, C, h, w] to pictures [B, 3, H, W].
  at::Tensor decode(const at::Tensor& latents) const;
  /// Pictures [B, 3, H, W] in [-1, 1] to latents [B, C, h, w].
  at::Tensor encode(const at::Tensor& images) const;

 private:
  struct Impl;
  explicit ScriptedModule(std::unique_ptr<Impl> impl);
  /// The module's result, or the first tensor of it, in float32 and without a gradient. The input
  /// is brought to the dtype of the module's parameters. Throws titan::Error if the module fails or
  /// its result has another rank or batch.
  at::Tensor run(const at::Tensor& input) const;

  std::unique_ptr<Impl> impl_;
};

}  // namespace titan::models
