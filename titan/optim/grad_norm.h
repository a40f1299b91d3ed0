// grad_norm.h: the global gradient norm and the factor that clips it, on the device, without
// waiting for the host.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/parallel/flat_parameters.h"

namespace titan::optim {

/// Adds up a [] float64 tensor over the ranks that hold different parts of the gradients, in place.
using ReduceSum = std::function<void(const at::Tensor& sum_of_squares)>;

/// L2 norm of all gradients together, [] float32 on their device. `reduce` is needed only where
/// gradients are sharded. The bits depend on the layout of the buffers, not on the number of
/// threads.
at::Tensor global_grad_norm(const std::vector<parallel::FlatUnit>& units,
                            const ReduceSum& reduce = {});

/// min(1, max_norm / (norm + 1e-6)), [] float32: PyTorch's clip_grad_norm_. A norm that is not
/// finite passes through.
at::Tensor clip_coefficient(const at::Tensor& norm, double max_norm);

}  // namespace titan::optim
