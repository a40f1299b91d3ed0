// residual_observer.h: looking into a text encoder while it computes.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

namespace titan::models {

/// Sees the residual stream [B, L, D] before block `block` computes, and with the number of blocks
/// what the final norm gets. Clone what is to be kept: the stream may change in place.
using ResidualObserver = std::function<void(int64_t block, const at::Tensor& x)>;

}  // namespace titan::models
