// float8_layer.h: what a Linear holds where its products are in 8-bit floating point.
#pragma once

#include <ATen/core/Tensor.h>

#include "titan/models/layers/linear_input.h"
#include "titan/ops/float8_linear.h"

namespace titan::models {

struct Float8Layer {
  ops::Float8Options options;
  /// Keep the weight's 8-bit copies until it changes (ops::Float8Weights): for weights that stay in
  /// memory whole.
  bool keep_weights = false;
  /// Take inputs that the operation before has rounded, for all layers that read them
  /// (layers/layer_inputs.h).
  bool fuse_input = true;
  ops::Float8Weights weights = {};
};

/// ops::float8_linear, as an operation whose result a recomputed block can keep.
at::Tensor float8_forward(Float8Layer& layer, const LinearInput& x, const at::Tensor& weight,
                          const at::Tensor& bias);

}  // namespace titan::models
