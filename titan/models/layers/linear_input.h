// linear_input.h: what a linear layer multiplies.
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include "titan/ops/float8_input.h"

namespace titan::models {

/// A tensor, or, for layers in 8 bits, an input that has been rounded for them
/// (layers/layer_inputs.h). Made from either without a word, so layers take tensors as ever.
class LinearInput {
 public:
  LinearInput(at::Tensor x) : tensor_(std::move(x)) {}         // NOLINT(google-explicit-*)
  LinearInput(ops::Float8Input x) : rounded_(std::move(x)) {}  // NOLINT(google-explicit-*)

  bool is_rounded() const { return rounded_.values.defined(); }
  /// Throws titan::Error where it is rounded: the numbers are not there any more.
  const at::Tensor& tensor() const;
  /// Where it is rounded.
  const ops::Float8Input& rounded() const { return rounded_; }

 private:
  at::Tensor tensor_;
  ops::Float8Input rounded_;
};

}  // namespace titan::models
