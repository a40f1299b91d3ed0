// mse.h: mean squared error of each sample.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// mean over all but the first dimension of (prediction - target)^2: [B], float32 (float64 for a
/// float64 prediction). Both [B, ...] of one shape; differentiable by prediction. Throws
/// titan::Error on other shapes.
at::Tensor mse(const at::Tensor& prediction, const at::Tensor& target);

}  // namespace titan::ops
