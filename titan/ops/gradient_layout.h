// gradient_layout.h: the strides in which a gradient arrives.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// `x` [any shape, any dtype]; its gradient comes to x's backward with x's strides, copied where it
/// has others (a narrow() of a wider tensor). No copy, and no node, where no gradient is needed.
at::Tensor keep_gradient_layout(const at::Tensor& x);

}  // namespace titan::ops
