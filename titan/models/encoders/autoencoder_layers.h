// autoencoder_layers.h: what an autoencoder is made of. Images are [B, C, H, W], best in
// channels_last memory: convolutions are fastest there, and attention takes the pixels as tokens
// without a copy. Private to this folder.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace titan::models {

/// "weight" [out, in, side, side], "bias" [out].
class Conv2d : public torch::nn::Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t side, const at::TensorOptions& options);
  /// Keeps the size for an odd side: pads side / 2 zeros all around.
  at::Tensor forward(const at::Tensor& x) const;
  /// Every second pixel, without padding.
  at::Tensor forward_halved(const at::Tensor& x) const;
  /// A 1 x 1 convolution of tokens [B, N, in] to [B, N, out].
  at::Tensor forward_tokens(const at::Tensor& tokens) const;

 private:
  at::Tensor weight_, bias_;
};

/// "weight", "bias" [C]: GroupNorm.
class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(int64_t channels, int64_t groups, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& x) const;
  /// x sigmoid(x) of it.
  at::Tensor forward_swish(const at::Tensor& x) const;

 private:
  int64_t groups_;
  at::Tensor weight_, bias_;
};

/// "norm1", "conv1", "norm2", "conv2", and "nin_shortcut" where the number of channels changes.
class ResnetBlock : public torch::nn::Module {
 public:
  ResnetBlock(int64_t in, int64_t out, int64_t groups, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
};

/// "norm", "q", "k", "v", "proj_out": attention of every pixel to every pixel, with one head.
class PixelAttention : public torch::nn::Module {
 public:
  PixelAttention(int64_t channels, int64_t groups, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Conv2d> q_, k_, v_, out_;
};

/// "block_1", "attn_1", "block_2".
class MiddleBlock : public torch::nn::Module {
 public:
  MiddleBlock(int64_t channels, int64_t groups, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<ResnetBlock> first_, second_;
  std::shared_ptr<PixelAttention> attention_;
};

}  // namespace titan::models
