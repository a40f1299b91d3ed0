#include "titan/models/layers/rope_table.h"

#include <vector>

#include <ATen/ATen.h>

#include "titan/base/check.h"

namespace titan::models {

at::Tensor rope_table_2d(int64_t rows, int64_t columns, int64_t head_dim, double theta,
                         at::Device device) {
  TITAN_CHECK(head_dim % 4 == 0,
              "[rope] 2-D rotary needs a head width divisible by 4 (head_dim=", head_dim, ")");
  const at::TensorOptions float32 = at::TensorOptions().dtype(at::kFloat);
  // In float32 throughout, as the published table was made.
  const at::Tensor frequency =
      at::pow(theta, at::arange(0, head_dim, 4, float32) / static_cast<double>(head_dim))
          .reciprocal();
  const at::Tensor token = at::arange(rows * columns, at::kLong);
  const auto angles = [&](const at::Tensor& position) {
    return at::outer(position.to(at::kFloat), frequency);
  };
  const at::Tensor angle = at::cat(
      {angles(token.remainder(columns)), angles(token.div(columns, /*rounding_mode=*/"floor"))}, 1);
  return at::stack({angle.cos(), angle.sin()}, -1).to(device);
}

at::Tensor rope_table_axes(const at::Tensor& positions, at::IntArrayRef axes_dim, double theta) {
  TITAN_CHECK(positions.dim() == 2 && positions.size(1) == static_cast<int64_t>(axes_dim.size()),
              "[rope] positions must be [N, axes] (positions=", positions.sizes(),
              ", axes_dim=", axes_dim, ")");
  const at::Tensor wide = positions.to(at::kDouble);
  std::vector<at::Tensor> angles;
  for (std::size_t axis = 0; axis < axes_dim.size(); ++axis) {
    const int64_t dim = axes_dim[axis];
    TITAN_CHECK(dim % 2 == 0, "[rope] every part of a head must be even (axes_dim=", axes_dim, ")");
    const at::Tensor frequency =
        at::pow(theta, at::arange(0, dim, 2, wide.options()) / -static_cast<double>(dim));
    angles.push_back(at::outer(wide.select(1, static_cast<int64_t>(axis)), frequency));
  }
  const at::Tensor angle = at::cat(angles, 1);
  return at::stack({angle.cos(), angle.sin()}, -1).to(at::kFloat);
}

at::Tensor append_unrotated(const at::Tensor& table, int64_t count) {
  const at::Tensor unit = at::ones({count, table.size(1)}, table.options());
  return at::cat({table, at::stack({unit, at::zeros_like(unit)}, -1)}, 0);
}

}  // namespace titan::models
