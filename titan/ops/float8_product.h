// float8_product.h: the two steps of a product in 8-bit floating point: rounding an operand, and
// multiplying two rounded ones. kernels/float8.h has the arithmetic.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// A matrix in 8 bits, beside 1 / scale in float32: [rows of the copy], or [1] for one scale. What
/// was not asked for is undefined.
struct Float8Copies {
  at::Tensor by_row;  ///< [R, C] of x [R, C]
  at::Tensor row_inverse;
  at::Tensor
      by_column;  ///< [C, R]: transposed; rows lie a multiple of 16 numbers apart, zeros between
  at::Tensor column_inverse;
};

struct Float8Wanted {
  bool by_row = false;
  bool by_column = false;
};

/// Rounds x [R, C] (float32 or bfloat16, not empty) to `dtype`, kFloat8_e4m3fn or kFloat8_e5m2.
/// `rowwise`: a scale for each row of each copy, a power of two; else one scale for all. Not
/// differentiable.
Float8Copies float8_quantize(const at::Tensor& x, at::ScalarType dtype, bool rowwise,
                             Float8Wanted wanted);

/// How two operands are multiplied.
struct Float8ProductOptions {
  at::ScalarType out_dtype = at::kBFloat16;
  /// Multiply the exact values in float32 instead of in 8 bits.
  bool emulate = false;
  /// Hopper's faster sums, of fewer bits: for the forward product alone.
  bool fast_sums = false;
};

/// a b^T + bias of a [M, K] and b [N, K] with their inverse scales (both [1], or [M] and [N]); sums
/// in float32; [M, N]. Without `emulate` throws titan::Error on the CPU, on devices before compute
/// capability 8.9, and unless 16 divides N and K (as held).
at::Tensor float8_product(const at::Tensor& a, const at::Tensor& a_inverse, const at::Tensor& b,
                          const at::Tensor& b_inverse, const at::Tensor& bias,
                          const Float8ProductOptions& options);

namespace reference {
/// The same in plain ATen.
Float8Copies float8_quantize(const at::Tensor& x, at::ScalarType dtype, bool rowwise,
                             Float8Wanted wanted);
}  // namespace reference

}  // namespace titan::ops
