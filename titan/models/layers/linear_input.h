// linear_input.h: what a linear layer multiplies.
#pragma once

#include <memory>
#include <utility>

#include <ATen/core/Tensor.h>

namespace titan::ops {
struct Float8Input;
}

namespace titan::models {

/// A tensor, or, for layers in 8 bits, an input that has been rounded for them
/// (layers/layer_inputs.h). Made from either without a word, so layers take tensors as ever.
class LinearInput {
 public:
  /// A tensor [..., in].
  LinearInput(at::Tensor x) : tensor_(std::move(x)) {}  // NOLINT(google-explicit-*)
  /// A rounded one.
  LinearInput(const ops::Float8Input& x);  // NOLINT(google-explicit-*)

  /// Which of the two it is.
  bool is_rounded() const { return rounded_ != nullptr; }
  /// Throws titan::Error where it is rounded: the numbers are not there any more.
  const at::Tensor& tensor() const;
  /// Throws titan::Error where it is a tensor.
  const ops::Float8Input& rounded() const;

 private:
  at::Tensor tensor_;
  std::shared_ptr<const ops::Float8Input> rounded_;
};

}  // namespace titan::models
