// block_runner.h: runs a model forward, and forward + backward unit by unit. Backward is driven by
// plain code (torch::autograd::grad per unit), so what happens around a unit (gather, reduce,
// recompute, trace) is plain code too.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/protocols/model.h"
#include "titan/protocols/recompute_plan.h"
#include "titan/protocols/state_watch.h"

namespace titan {

/// What is done around each unit; decorations of the runner. Unit numbers as in ModelUnit. All
/// calls come on the training thread, in program order.
class RunnerHooks {
 public:
  virtual ~RunnerHooks() = default;
  /// A pass through all units begins; without a backward, nothing of it is needed later.
  virtual void begin_pass(bool with_backward) { (void)with_backward; }
  virtual void before_forward(std::size_t unit) { (void)unit; }  ///< the unit is about to compute
  virtual void after_forward(std::size_t unit) { (void)unit; }   ///< the unit has computed
  /// Before the unit's recompute, if its block is computed again, and its backward.
  virtual void before_backward(std::size_t unit) { (void)unit; }
  /// Gradients of all parameters of `unit`, in its order; undefined where a parameter was not used.
  /// Called exactly once per unit and backward, from the last unit to the first.
  virtual void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) = 0;
};

/// Reduces a prediction to the loss that is differentiated.
using LossFunction = std::function<at::Tensor(const at::Tensor& prediction)>;

/// Runs a model; what is done around its units is RunnerHooks'.
class BlockRunner {
 public:
  virtual ~BlockRunner() = default;

  /// Prediction without gradients. The model's mode (train or eval) is the caller's.
  virtual at::Tensor forward(const at::Tensor& x_t, const at::Tensor& t,
                             const Conditioning& condition) = 0;

  /// Forward, loss, backward; gradients go to the hooks. Returns the loss, detached, on the device
  /// (no host sync).
  virtual at::Tensor forward_backward(const at::Tensor& x_t, const at::Tensor& t,
                                      const Conditioning& condition, const LossFunction& loss) = 0;

  /// From now on `watch` sees the passes of forward_backward; null = nobody. It outlives its use.
  virtual void set_watch(StateWatch* watch) { (void)watch; }
};

/// The runner of one rank; what other ranks have to do with it is the hooks'. `hooks` outlives the
/// runner and may be null. Throws titan::Error if `plan` is neither empty nor one entry a block.
std::unique_ptr<BlockRunner> make_runner(std::shared_ptr<Model> model, RunnerHooks* hooks,
                                         RecomputePlan plan = {});

}  // namespace titan
