// float8_input.h: what 8-bit layers multiply, rounded once for all layers that read it.
#pragma once

#include <ATen/core/Tensor.h>

#include "titan/ops/float8_product.h"

namespace titan::ops {

/// How an input is rounded to float8_e4m3fn.
struct Float8Rounding {
  bool rowwise = false;  ///< a scale for each row of each copy; else one for all
  /// Transposed as well, for the gradients of its readers' weights; never where no gradients are
  /// recorded.
  bool by_column = true;
};

/// An input of 8-bit layers. The tensor itself is not kept: `values` stands for it in the graph of
/// gradients, with its shape, dtype and device, and is one NaN in memory, so that what reads it by
/// mistake is seen.
struct Float8Input {
  at::Tensor values;    ///< [..., in]
  Float8Copies copies;  ///< of the matrix [tokens, in]; undefined where values is empty
  bool rowwise = false;
};

/// Rounds x [..., in], float32 or bfloat16. The gradient of `values` is that of x.
Float8Input float8_input(const at::Tensor& x, const Float8Rounding& rounding);

namespace detail {
/// `values` of an input of these sizes.
at::Tensor float8_placeholder(at::IntArrayRef sizes, const at::TensorOptions& options);
/// Whether the transposed copy is made now.
bool float8_by_column(const Float8Rounding& rounding);
}  // namespace detail

}  // namespace titan::ops
