// philox.h: random tensors that are a function of (seed, purpose, sample, epoch): noise, timesteps,
// dropout.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "titan/base/philox.h"

namespace titan::ops {

/// Standard normals [B, tail...] float32 on the device of `sample` [B] int64; `epoch` [B] int64.
/// Row b depends on sample[b] and epoch[b] alone, element i of a row on i (kernels/philox.h). CPU
/// and CUDA agree to 1e-6. Not differentiable.
at::Tensor philox_normal(const at::Tensor& sample, const at::Tensor& epoch,
                         at::IntArrayRef tail_shape, std::uint64_t seed, RandomPurpose purpose);

/// Uniforms in the open interval (0, 1), as above; CPU and CUDA agree to the bit.
at::Tensor philox_uniform(const at::Tensor& sample, const at::Tensor& epoch,
                          at::IntArrayRef tail_shape, std::uint64_t seed, RandomPurpose purpose);

}  // namespace titan::ops
