#include "titan/models/layers/embeddings.h"

#include <cmath>

#include <ATen/ATen.h>

namespace titan::models {

at::Tensor time_sinusoid(const at::Tensor& t, int64_t width) {
  const int64_t half = width / 2;
  const at::Tensor k = at::arange(half, t.options().dtype(at::kFloat));
  const at::Tensor frequency = at::exp(k * -std::log(10000.0) / static_cast<double>(half));
  const at::Tensor angle = t.to(at::kFloat).unsqueeze(1) * frequency;
  const at::Tensor waves = at::cat({angle.cos(), angle.sin()}, 1);
  return width % 2 == 0 ? waves : at::constant_pad_nd(waves, {0, 1}, 0);
}

at::Tensor grid_sinusoid(int64_t rows, int64_t columns, int64_t dim, at::Device device) {
  const at::Tensor token = at::arange(rows * columns, at::kLong);
  const at::Tensor row = token.div(columns, /*rounding_mode=*/"floor");
  const at::Tensor column = token.remainder(columns);
  return at::cat({time_sinusoid(row, dim / 2), time_sinusoid(column, dim / 2)}, 1).to(device);
}

TimeEmbedding::TimeEmbedding(int64_t dim, double time_scale, const at::TensorOptions& options)
    : time_scale_(time_scale) {
  const auto mlp = register_module("mlp", std::make_shared<Container>());
  first_ =
      mlp->register_module("0", std::make_shared<Linear>(kWidth, dim, Linear::Bias::kYes, options));
  second_ =
      mlp->register_module("2", std::make_shared<Linear>(dim, dim, Linear::Bias::kYes, options));
}

at::Tensor TimeEmbedding::forward(const at::Tensor& t) const {
  const at::Tensor scaled = time_scale_ == 1.0 ? t : t * time_scale_;
  return second_->forward(
      at::silu(first_->forward(time_sinusoid(scaled, kWidth).to(first_->weight.scalar_type()))));
}

ClassEmbedding::ClassEmbedding(int64_t num_classes, int64_t dim, const at::TensorOptions& options) {
  const auto holder = register_module("embedding_table", std::make_shared<Container>());
  table_ = holder->register_parameter("weight", at::empty({num_classes + 1, dim}, options));
}

at::Tensor ClassEmbedding::forward(const at::Tensor& labels) const {
  return at::embedding(table_, labels);
}

}  // namespace titan::models
