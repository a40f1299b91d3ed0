// embeddings.h: time and class as vectors.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/layers/linear.h"

namespace titan::models {

/// Sinusoid of t [B] float32: [B, width] = cos(t f_k), k = 0 .. width/2 - 1, then sin(t f_k), f_k =
/// 10000^(-2k / width), then a zero where width is odd. Computed in float32 (Peebles & Xie 2023,
/// after Vaswani et al. 2017).
at::Tensor time_sinusoid(const at::Tensor& t, int64_t width);

/// Fixed positions of rows x columns patches in row-major order: [rows * columns, dim] float32, dim
/// a multiple of 4. The first half of a vector is the time_sinusoid of the row, the second half of
/// the column (Peebles & Xie 2023, section 3.2).
at::Tensor grid_sinusoid(int64_t rows, int64_t columns, int64_t dim, at::Device device);

/// Parameters "mlp.0.*" [dim, 256] and "mlp.2.*" [dim, dim]: linear, SiLU, linear over the sinusoid
/// of time_scale * t.
class TimeEmbedding : public torch::nn::Module {
 public:
  static constexpr int64_t kWidth = 256;  ///< of the sinusoid
  /// Allocates the parameters.
  TimeEmbedding(int64_t dim, double time_scale, const at::TensorOptions& options);
  /// t [B] to [B, dim] in the parameters' dtype.
  at::Tensor forward(const at::Tensor& t) const;

 private:
  double time_scale_;
  std::shared_ptr<Linear> first_;
  std::shared_ptr<Linear> second_;
};

/// "embedding_table.weight" [num_classes + 1, dim]; the last row is the null class (no condition).
class ClassEmbedding : public torch::nn::Module {
 public:
  /// Allocates the parameters.
  ClassEmbedding(int64_t num_classes, int64_t dim, const at::TensorOptions& options);
  /// labels [B] int64 in [0, num_classes] to [B, dim].
  at::Tensor forward(const at::Tensor& labels) const;

 private:
  at::Tensor table_;
};

}  // namespace titan::models
