// patches.h: between pictures and tokens. Token n = row * (W / p) + column.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace titan::models {

/// Weights of a convolution whose kernel and stride are the patch: "weight" [dim, C, p, p], "bias"
/// [dim].
class PatchProjection : public torch::nn::Module {
 public:
  /// Allocates the parameters.
  PatchProjection(int64_t channels, int64_t dim, int64_t patch, const at::TensorOptions& options);
  /// [B, C, H, W] to [B, (H / p) * (W / p), dim]; throws titan::Error where C differs or p does not
  /// divide H and W.
  at::Tensor forward(const at::Tensor& x) const;

 private:
  int64_t patch_;
  at::Tensor weight_;
  at::Tensor bias_;
};

/// "proj": the patch embedding of a model.
class PatchEmbedding : public torch::nn::Module {
 public:
  /// Allocates the parameters.
  PatchEmbedding(int64_t channels, int64_t dim, int64_t patch, const at::TensorOptions& options);
  /// As PatchProjection.
  at::Tensor forward(const at::Tensor& x) const { return proj_->forward(x); }

 private:
  std::shared_ptr<PatchProjection> proj_;
};

/// Tokens [B, rows * columns, p * p * C], elements of a token in the order (row, column, channel),
/// to [B, C, rows * p, columns * p].
at::Tensor unpatchify(const at::Tensor& tokens, int64_t rows, int64_t columns, int64_t patch);

}  // namespace titan::models
