// matrix_rows.h: tensors as the matrices of a linear layer; shared by its kernel and its plan.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace titan::ops::detail {

/// x [..., n] as [rows, n] whose rows are contiguous and do not overlap; a copy where x's are not.
inline at::Tensor matrix_rows(const at::Tensor& x) {
  const int64_t columns = x.size(-1);
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < x.dim(); ++i) rows *= x.size(i);
  const at::Tensor matrix = x.reshape({rows, columns});
  if ((matrix.stride(1) == 1 || columns == 1) && matrix.stride(0) >= columns) return matrix;
  // Strides of dimensions of size 1 may be anything in a tensor that counts as contiguous.
  return matrix.contiguous().as_strided({rows, columns}, {columns, 1});
}

/// Of x weight^T.
inline std::vector<int64_t> linear_shape(const at::Tensor& x, const at::Tensor& weight) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return shape;
}

inline std::string shape_text(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

}  // namespace titan::ops::detail
