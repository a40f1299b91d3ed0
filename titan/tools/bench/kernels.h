// kernels.h: titan's operators against the ceilings of the same run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/tools/bench/measure.h"

namespace titan::tools {

/// Sizes of a training step's tensors.
struct KernelShape {
  int64_t batch = 4;
  int64_t tokens = 512;
  int64_t heads = 4;
  int64_t head_dim = 128;
  int64_t mlp = 4;  ///< feed-forward width over model width

  int64_t width() const { return heads * head_dim; }
};

/// One line: an operator's forward, or its backward.
struct KernelResult {
  std::string name;
  double seconds = 0;
  double reference_seconds = 0;  ///< the same in plain ATen
  double bytes = 0;              ///< each input read once, each output written once
  double flops = 0;              ///< of matrix products; 0 = memory-bound
};

/// Operators of the blocks (norms with modulation and residual, rotation, activations), the
/// optimizer's pass and the gradient norm.
std::vector<KernelResult> bench_elementwise(c10::Device device, c10::ScalarType dtype,
                                            const KernelShape& shape);
/// Rounding to 8 bits, both copies: of an array, of what norm, GELU and SwiGLU have written, and,
/// on a GPU, of what they compute on the way. The reference rounds what they have written.
std::vector<KernelResult> bench_float8(c10::Device device, c10::ScalarType dtype,
                                       const KernelShape& shape);
/// Attention for S = tokens, forward and with backward.
std::vector<KernelResult> bench_attention(c10::Device device, c10::ScalarType dtype,
                                          const KernelShape& shape);
/// The matrix products of a block at these sizes.
std::vector<KernelResult> bench_products(c10::Device device, c10::ScalarType dtype,
                                         const KernelShape& shape);

}  // namespace titan::tools
