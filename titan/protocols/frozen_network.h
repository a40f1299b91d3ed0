// frozen_network.h: a network that is used but not trained (text encoders, an autoencoder). It runs
// in units like a model, so that ranks can share its parameters the same way.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "titan/protocols/block_runner.h"
#include "titan/protocols/model.h"
#include "titan/protocols/weight_formats.h"

namespace titan {

/// Parameters are allocated, not initialised, and have no gradients. Whoever fills them decides
/// where they lie: as they are, or as slices of an engine that gathers units around their use.
class FrozenNetwork : public torch::nn::Module {
 public:
  /// All parameters, in the order in which units run.
  virtual std::vector<ModelUnit> units() const = 0;
  /// Names under which its weights are published.
  virtual std::shared_ptr<const WeightFormats> weight_formats() const = 0;

  /// Called around each unit from now on; null = nothing is. `hooks` outlives the network's use.
  void set_hooks(RunnerHooks* hooks) { hooks_ = hooks; }

 protected:
  /// Begin of a pass, and the bracket around a unit's work: units 0, 1, ... once each, in order.
  void begin_pass() const {
    if (hooks_ != nullptr) hooks_->begin_pass(/*with_backward=*/false);
  }
  /// Runs `work` as unit `unit`; gives its result.
  template <class Work>
  auto run_unit(std::size_t unit, const Work& work) const {
    if (hooks_ != nullptr) hooks_->before_forward(unit);
    auto result = work();
    if (hooks_ != nullptr) hooks_->after_forward(unit);
    return result;
  }

 private:
  RunnerHooks* hooks_ = nullptr;
};

}  // namespace titan
