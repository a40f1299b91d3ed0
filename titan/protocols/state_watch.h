// state_watch.h: who looks at what flows through a model in training: statistics of a step that is
// run again.
#pragma once

#include <cstddef>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/protocols/block.h"

namespace titan {

/// Gets every tensor of a forward and backward pass at the moment it is made, on the training
/// thread; it must not change them. Unit numbers as in ModelUnit.
class StateWatch {
 public:
  virtual ~StateWatch() = default;
  /// What the model is called with.
  virtual void input(const at::Tensor& x_t, const at::Tensor& t, const NamedTensors& condition) = 0;
  /// What `unit` (embed or a block) hands on.
  virtual void state(std::size_t unit, const BlockState& state) = 0;
  /// What the head makes of it.
  virtual void prediction(const at::Tensor& prediction) = 0;
  /// [] of this pass.
  virtual void loss(const at::Tensor& loss) = 0;
  /// This rank's gradients of `unit`: of its parameters, in its order (undefined where one was not
  /// used), and of the state that it took in: `slots` counts as BlockState::for_each does. The
  /// embed unit takes no state in. From the last unit to the first.
  virtual void gradients(std::size_t unit, const std::vector<at::Tensor>& parameters,
                         const std::vector<std::size_t>& slots,
                         const std::vector<at::Tensor>& state) = 0;
};

}  // namespace titan
