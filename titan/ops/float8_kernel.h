// float8_kernel.h: from tensors to the raw-pointer kernel, the same for every device. Included by
// the files of titan/ops named after float8, by meta_float8.cpp and by the CUDA library.
#pragma once

#include <tuple>

#include <ATen/ATen.h>

#include "titan/kernels/float8.h"
#include "titan/ops/dispatch.h"

namespace titan::ops::detail {

/// by_row, row_inverse, by_column, column_inverse.
using Float8Result = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
/// h (undefined without a branch), mean, rstd, then those four of y.
using Float8Normed =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

constexpr int64_t kFloat8Step = 16;  ///< LibTorch's 8-bit products take sizes divisible by it

struct Float8Shape {
  int64_t rows, columns;
};
/// The last dimension of x, and all others as one.
inline Float8Shape float8_shape(const at::Tensor& x) {
  return {x.numel() / x.size(-1), x.size(-1)};
}

/// How a matrix is rounded, and which copies are made.
struct Float8Recipe {
  bool e5m2 = false;
  bool rowwise = false;
  bool by_row = true;
  bool by_column = true;
};

inline Float8Result allocate_float8(const at::TensorOptions& options, Float8Shape shape,
                                    const Float8Recipe& recipe) {
  const auto [rows, columns] = shape;
  const auto numbers = options.dtype(recipe.e5m2 ? at::kFloat8_e5m2 : at::kFloat8_e4m3fn);
  const auto float32 = options.dtype(at::kFloat);
  Float8Result out;
  if (recipe.by_row) {
    std::get<0>(out) = at::empty({rows, columns}, numbers);
    std::get<1>(out) = at::empty({recipe.rowwise ? rows : 1}, float32);
  }
  if (recipe.by_column) {
    const int64_t held = (rows + kFloat8Step - 1) / kFloat8Step * kFloat8Step;
    std::get<2>(out) = at::empty({columns, held}, numbers).narrow(1, 0, rows);
    std::get<3>(out) = at::empty({recipe.rowwise ? columns : 1}, float32);
  }
  return out;
}

/// One call of the kernel: what it is told, and what it writes.
struct Float8Call {
  kernels::Float8Problem problem;
  Float8Result result;
  at::Tensor workspace;
  kernels::Float8Outputs outputs;

  /// `like`: of the dtype and device of what is rounded.
  Float8Call(const at::Tensor& like, Float8Shape shape, const Float8Recipe& recipe)
      : problem{.rows = shape.rows,
                .columns = shape.columns,
                .storage = storage_of(like),
                .format = recipe.e5m2 ? kernels::Float8Format::kE5m2 : kernels::Float8Format::kE4m3,
                .rowwise = recipe.rowwise},
        result(allocate_float8(like.options(), shape, recipe)),
        workspace(at::empty({kernels::float8_workspace_size(problem)},
                            like.options().dtype(at::kFloat))) {
    const auto& [rows, row_inverse, columns, column_inverse] = result;
    const auto numbers = [](const at::Tensor& copy) {
      return copy.defined() ? static_cast<std::uint8_t*>(copy.mutable_data_ptr()) : nullptr;
    };
    const auto scales = [](const at::Tensor& inverse) {
      return inverse.defined() ? inverse.mutable_data_ptr<float>() : nullptr;
    };
    outputs = {.by_row = numbers(rows),
               .row_inverse = scales(row_inverse),
               .by_column = numbers(columns),
               .column_inverse = scales(column_inverse),
               .column_stride = columns.defined() ? columns.stride(0) : 0,
               .workspace = workspace.mutable_data_ptr<float>()};
  }
};

/// On the CPU: what is rounded is an array.
inline Float8Result float8_quantize_cpu(const at::Tensor& x_in, const Float8Recipe& recipe) {
  const at::Tensor x = x_in.contiguous();
  const Float8Call call(x, float8_shape(x), recipe);
  kernels::cpu::float8_quantize(call.problem, x.const_data_ptr(), call.outputs);
  return call.result;
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
