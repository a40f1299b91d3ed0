// gradient_place.h: memory that the gradients of weights are to be written into, so that nobody has
// to copy them there. Who keeps gradients in one buffer offers a place for each weight before a
// backward; an operation that makes the whole gradient of a weight may take it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// While alive, a place for the gradient of each of `weights` can be taken on this thread: once, as
/// a weight that is used twice has two gradients, which are added. `places` have the weights'
/// shapes and are overwritten. A later offer on the same thread ends this one.
class GradientPlaces {
 public:
  GradientPlaces(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& places);
  ~GradientPlaces();
  GradientPlaces(const GradientPlaces&) = delete;
  GradientPlaces& operator=(const GradientPlaces&) = delete;
};

/// The place for the gradient of `weight`, contiguous, of its shape and dtype; undefined where none
/// is offered.
at::Tensor take_gradient_place(const at::Tensor& weight);

}  // namespace titan::ops
