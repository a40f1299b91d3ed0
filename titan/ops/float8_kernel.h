// float8_kernel.h: from tensors to the raw-pointer kernel, the same for every device. Included by
// float8_product.cpp, meta.cpp and the CUDA library.
#pragma once

#include <tuple>

#include <ATen/ATen.h>

#include "titan/kernels/float8.h"
#include "titan/ops/dispatch.h"

namespace titan::ops::detail {

/// by_row, row_inverse, by_column, column_inverse.
using Float8Result = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

constexpr int64_t kFloat8Step = 16;  ///< LibTorch's 8-bit products take sizes divisible by it

inline Float8Result allocate_float8(const at::Tensor& x, bool e5m2, bool rowwise, bool by_row,
                                    bool by_column) {
  const int64_t rows = x.size(0), columns = x.size(1);
  const auto numbers = x.options().dtype(e5m2 ? at::kFloat8_e5m2 : at::kFloat8_e4m3fn);
  const auto float32 = x.options().dtype(at::kFloat);
  Float8Result out;
  if (by_row) {
    std::get<0>(out) = at::empty({rows, columns}, numbers);
    std::get<1>(out) = at::empty({rowwise ? rows : 1}, float32);
  }
  if (by_column) {
    const int64_t held = (rows + kFloat8Step - 1) / kFloat8Step * kFloat8Step;
    std::get<2>(out) = at::empty({columns, held}, numbers).narrow(1, 0, rows);
    std::get<3>(out) = at::empty({rowwise ? columns : 1}, float32);
  }
  return out;
}

template <class Kernel>
Float8Result run_float8_quantize(Kernel&& kernel, const at::Tensor& x_in, bool e5m2, bool rowwise,
                                 bool by_row, bool by_column) {
  const at::Tensor x = x_in.contiguous();
  const Float8Result out = allocate_float8(x, e5m2, rowwise, by_row, by_column);
  const kernels::Float8Problem problem{
      .rows = x.size(0),
      .columns = x.size(1),
      .storage = storage_of(x),
      .format = e5m2 ? kernels::Float8Format::kE5m2 : kernels::Float8Format::kE4m3,
      .rowwise = rowwise};
  const at::Tensor workspace =
      at::empty({kernels::float8_workspace_size(problem)}, x.options().dtype(at::kFloat));
  const auto& [rows, row_inverse, columns, column_inverse] = out;
  const auto numbers = [](const at::Tensor& copy) {
    return copy.defined() ? static_cast<std::uint8_t*>(copy.mutable_data_ptr()) : nullptr;
  };
  const auto scales = [](const at::Tensor& inverse) {
    return inverse.defined() ? inverse.mutable_data_ptr<float>() : nullptr;
  };
  kernel(problem, x.const_data_ptr(),
         kernels::Float8Outputs{.by_row = numbers(rows),
                                .row_inverse = scales(row_inverse),
                                .by_column = numbers(columns),
                                .column_inverse = scales(column_inverse),
                                .column_stride = columns.defined() ? columns.stride(0) : 0,
                                .workspace = workspace.mutable_data_ptr<float>()});
  return out;
}

/// The matrix with the zeros that lie between its rows.
inline at::Tensor as_held(const at::Tensor& copy) {
  return copy.as_strided({copy.size(0), copy.stride(0)}, {copy.stride(0), 1});
}

/// sums [M, N] float32, scaled in place, plus bias, in the dtype asked for.
inline at::Tensor finish_float8_product(at::Tensor sums, const at::Tensor& a_inverse,
                                        const at::Tensor& b_inverse, const OptionalTensor& bias,
                                        at::ScalarType out_dtype) {
  if (a_inverse.numel() == 1 && b_inverse.numel() == 1) {
    sums.mul_(a_inverse * b_inverse);
  } else {
    sums.mul_(a_inverse.unsqueeze(1)).mul_(b_inverse);
  }
  if (bias) sums.add_(*bias);
  return sums.to(out_dtype);
}

}  // namespace titan::ops::detail
