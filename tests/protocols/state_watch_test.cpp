// What a watch is shown against the model run by hand.
#include "titan/protocols/state_watch.h"
#include "tests/support/catch.h"

#include "tests/protocols/tiny_unet.h"

using titan::BlockState;
using titan::testing::Case;
using titan::testing::Recorder;

namespace {

struct Notes : titan::StateWatch {
  void input(const at::Tensor& x_t, const at::Tensor&, const titan::NamedTensors&) override {
    x = x_t.detach().clone();
  }
  void state(std::size_t unit, const BlockState& state) override {
    REQUIRE(unit == states.size());
    states.push_back(state.x.detach().clone());
  }
  void prediction(const at::Tensor& value) override { predicted = value.detach().clone(); }
  void loss(const at::Tensor& value) override { lost = value.detach().clone(); }
  void gradients(std::size_t unit, const std::vector<at::Tensor>& parameters,
                 const std::vector<std::size_t>& slots,
                 const std::vector<at::Tensor>& state) override {
    REQUIRE(slots.size() == state.size());
    by_unit[unit] = parameters;
    if (!slots.empty() && slots[0] == 0) of_x[unit] = state[0].detach().clone();
  }
  at::Tensor x, predicted, lost;
  std::vector<at::Tensor> states;
  std::map<std::size_t, std::vector<at::Tensor>> by_unit;
  std::map<std::size_t, at::Tensor> of_x;  ///< gradients of the x that a unit takes in
};

}  // namespace

TEST_CASE("a watch sees what the model computes by hand, and changes nothing", "[protocols]") {
  torch::manual_seed(5);
  const Case c;
  Recorder alone, watched;
  const at::Tensor loss =
      titan::make_runner(c.model, &alone)->forward_backward(c.x, c.t, {}, c.loss);
  Notes notes;
  const auto runner = titan::make_runner(c.model, &watched);
  runner->set_watch(&notes);
  REQUIRE(at::equal(runner->forward_backward(c.x, c.t, {}, c.loss), loss));

  BlockState state = c.model->embed(c.x, c.t, {});
  std::vector<at::Tensor> states = {state.x};
  std::vector<bool> open = {false};
  for (const auto& block : c.model->blocks()) {
    state = block->forward(state);
    states.push_back(state.x);
    open.push_back(state.open.branch.defined());
  }
  for (at::Tensor& x : states) x.retain_grad();
  const at::Tensor prediction = c.model->head(state, c.x.sizes());
  c.loss(prediction).backward();

  REQUIRE(at::equal(notes.x, c.x));
  REQUIRE(at::equal(notes.predicted, prediction));
  REQUIRE(at::equal(notes.lost, loss));
  REQUIRE(notes.states.size() == states.size());
  for (std::size_t u = 0; u < states.size(); ++u) {
    REQUIRE(at::equal(notes.states[u], states[u]));
    REQUIRE(notes.of_x.at(u + 1).abs().max().item<double>() > 0);
    // Of a residual that is open, x is one of two things made of the same tensor.
    if (open[u]) continue;
    // 1e-13: float64, another order of summation.
    REQUIRE((notes.of_x.at(u + 1) - states[u].grad()).abs().max().item<double>() < 1e-13);
  }
  REQUIRE(notes.by_unit.size() == alone.by_unit.size());
  for (const auto& [unit, gradients] : alone.by_unit) {
    for (std::size_t p = 0; p < gradients.size(); ++p) {
      REQUIRE(gradients[p].defined() == notes.by_unit.at(unit)[p].defined());
      if (!gradients[p].defined()) continue;
      REQUIRE(at::equal(gradients[p], notes.by_unit.at(unit)[p]));
      REQUIRE(at::equal(gradients[p], watched.by_unit.at(unit)[p]));
    }
  }

  runner->set_watch(nullptr);
  notes.states.clear();
  runner->forward_backward(c.x, c.t, {}, c.loss);
  REQUIRE(notes.states.empty());
}
