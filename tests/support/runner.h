// runner.h: a model run by its units beside a model run as a whole. Include tests/support/catch.h
// first.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/protocols/block_runner.h"

namespace titan::testing {

/// Embed, blocks and head in one graph.
inline at::Tensor predict(Model& model, const at::Tensor& x, const at::Tensor& t,
                          const Conditioning& condition) {
  BlockState state = model.embed(x, t, condition);
  for (const auto& block : model.blocks()) state = block->forward(state);
  return model.head(state, x.sizes());
}

/// Keeps every gradient by name.
class KeepGradients : public RunnerHooks {
 public:
  explicit KeepGradients(const Model& model) : units_(split_into_units(model)) {}
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    for (std::size_t i = 0; i < gradients.size(); ++i)
      by_name[units_[unit].parameter_names[i]] = gradients[i];
  }
  std::map<std::string, at::Tensor> by_name;

 private:
  std::vector<ModelUnit> units_;
};

/// The runner's loss and gradients are those of one backward through the whole graph. The
/// parameters must not be zero, so that every path carries a gradient.
inline void require_runner_equals_whole(const std::shared_ptr<Model>& model, const at::Tensor& x,
                                        const at::Tensor& t, const Conditioning& condition) {
  const LossFunction loss = [](const at::Tensor& prediction) { return prediction.square().mean(); };
  KeepGradients kept(*model);
  const at::Tensor by_unit = make_runner(model, &kept)->forward_backward(x, t, condition, loss);
  const at::Tensor whole = loss(predict(*model, x, t, condition));
  whole.backward();
  REQUIRE(whole.item<double>() == Approx(by_unit.item<double>()).epsilon(1e-6));
  REQUIRE(kept.by_name.size() == model->named_parameters().size());
  for (const auto& entry : model->named_parameters()) {
    INFO(entry.key());
    const at::Tensor expected = entry.value().grad();
    // The order of additions may differ where paths meet.
    const double scale = expected.abs().max().item<double>();
    REQUIRE(at::allclose(kept.by_name.at(entry.key()), expected, 0.0, 1e-4 * scale));
  }
}

}  // namespace titan::testing
