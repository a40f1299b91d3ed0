#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>

#include <algorithm>
#include <optional>
#include <type_traits>
#include <utility>

#include "titan/base/check.h"
#include "titan/protocols/block_runner.h"
#include "titan/protocols/graph_cut.h"
#include "titan/protocols/recompute.h"

namespace titan {
namespace {

bool any_requires_grad(const std::vector<at::Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const at::Tensor& t) { return t.defined() && t.requires_grad(); });
}

/// The memory of a unit's parameters may go to another unit when it is done: a tensor that it hands
/// on must not lie there, or later units would read other parameters, silently.
void check_hands_on_no_parameter(const BlockState& state, const ModelUnit& unit) {
  state.for_each([&](const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.has_storage()) return;
    for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
      TITAN_CHECK(!tensor.is_alias_of(unit.parameters[i]), "[runner] ", unit.name,
                  " hands on a view of its parameters (", unit.parameter_names[i],
                  "), whose memory is another unit's afterwards; hand on a copy: clone()");
    }
  });
}

/// What forward leaves for backward. Entries are given back as soon as their unit is through.
struct Tape {
  std::vector<Cut> cuts;  ///< cuts[u] lies behind unit u, recorded or not
  /// Of block i; empty where its graph was recorded.
  std::vector<std::optional<RecomputedBlock>> recomputed;
};

class Runner : public BlockRunner {
 public:
  Runner(std::shared_ptr<Model> model, RunnerHooks* hooks, RecomputePlan plan)
      : model_(std::move(model)),
        hooks_(hooks),
        plan_(std::move(plan)),
        blocks_(model_->blocks()),
        units_(split_into_units(*model_)) {
    TITAN_CHECK(plan_.empty() || plan_.size() == blocks_.size(),
                "[runner] the recompute plan must have one entry a block (plan=", plan_.size(),
                ", blocks=", blocks_.size(), ")");
  }

  at::Tensor forward(const at::Tensor& x_t, const at::Tensor& t,
                     const Conditioning& condition) override {
    const at::NoGradGuard no_grad;
    begin_pass(/*with_backward=*/false);
    BlockState state = run_unit(0, [&] { return model_->embed(x_t, t, condition); });
    check_hands_on_no_parameter(state, units_[0]);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      state = run_unit(i + 1, [&] { return blocks_[i]->forward(std::move(state)); });
      check_hands_on_no_parameter(state, units_[i + 1]);
    }
    return run_unit(head(), [&] { return model_->head(state, x_t.sizes()); });
  }

  at::Tensor forward_backward(const at::Tensor& x_t, const at::Tensor& t,
                              const Conditioning& condition,
                              const LossFunction& loss_function) override {
    const at::AutoGradMode with_grad(true);
    begin_pass(/*with_backward=*/true);
    if (watch_ != nullptr) watch_->input(x_t, t, condition);
    Tape tape;
    BlockState state = run_unit(0, [&] { return model_->embed(x_t, t, condition); });
    check_hands_on_no_parameter(state, units_[0]);
    if (watch_ != nullptr) watch_->state(0, state);
    tape.cuts.push_back(cut_graph(state));
    for (std::size_t i = 0; i < blocks_.size(); ++i) run_block(i, state, tape);
    at::Tensor loss = run_unit(head(), [&] {
      const at::Tensor prediction = model_->head(state, x_t.sizes());
      if (watch_ != nullptr) watch_->prediction(prediction);
      return loss_function(prediction);
    });
    TITAN_CHECK(loss.numel() == 1 && loss.requires_grad(),
                "[runner] the loss must be one number that depends on the parameters (shape ",
                loss.sizes(), ")");
    if (watch_ != nullptr) watch_->loss(loss);
    state = {};
    backward(loss, tape);
    return loss.detach();
  }

  void set_watch(StateWatch* watch) override { watch_ = watch; }

 private:
  std::size_t head() const { return blocks_.size() + 1; }

  void begin_pass(bool with_backward) {
    if (hooks_ != nullptr) hooks_->begin_pass(with_backward);
  }

  template <class Function>
  std::invoke_result_t<const Function&> run_unit(std::size_t unit, const Function& function) {
    if (hooks_ != nullptr) hooks_->before_forward(unit);
    auto result = function();
    if (hooks_ != nullptr) hooks_->after_forward(unit);
    return result;
  }

  /// Block i of the training forward, and the cut behind it.
  void run_block(std::size_t i, BlockState& state, Tape& tape) {
    std::optional<RecomputedBlock>& again = tape.recomputed.emplace_back();
    const bool recompute = !plan_.empty() && plan_[i].recompute;
    const std::vector<at::Tensor> input = recompute ? tensors_of(state) : std::vector<at::Tensor>();
    // Where nothing needs a gradient no graph is recorded anyhow.
    if (recompute && (any_requires_grad(input) || any_requires_grad(units_[i + 1].parameters))) {
      again.emplace(*blocks_[i], std::move(state), plan_[i].keep);
      state = run_unit(i + 1, [&] { return again->first_pass(); });
      tape.cuts.push_back(cut_unrecorded(state, input));
    } else {
      state = run_unit(i + 1, [&] { return blocks_[i]->forward(std::move(state)); });
      tape.cuts.push_back(cut_graph(state));
    }
    check_hands_on_no_parameter(state, units_[i + 1]);
    if (watch_ != nullptr) watch_->state(i + 1, state);
  }

  /// What unit `unit` produced, computed again if it was not recorded; entries as of cuts[unit].
  static std::vector<at::Tensor> take_outputs(std::size_t unit, Tape& tape) {
    Cut& cut = tape.cuts.back();
    const std::size_t block = unit - 1;
    std::vector<at::Tensor> outputs = unit > 0 && tape.recomputed[block].has_value()
                                          ? tape.recomputed[block]->again(cut.slots)
                                          : std::move(cut.produced);
    tape.cuts.pop_back();
    if (unit > 0) tape.recomputed.pop_back();
    return outputs;
  }

  void backward(const at::Tensor& loss, Tape& tape) {
    std::vector<at::Tensor> grads = {at::ones_like(loss)};
    for (std::size_t unit = head() + 1; unit-- > 0;) {
      if (hooks_ != nullptr) hooks_->before_backward(unit);
      const std::vector<at::Tensor> outputs =
          unit == head() ? std::vector<at::Tensor>{loss} : take_outputs(unit, tape);
      const std::vector<at::Tensor>& parameters = units_[unit].parameters;
      std::vector<at::Tensor> inputs = parameters;
      if (unit > 0)
        inputs.insert(inputs.end(), tape.cuts.back().leaves.begin(), tape.cuts.back().leaves.end());
      std::vector<at::Tensor> found = backward_between(outputs, grads, inputs);
      const auto border = found.begin() + static_cast<std::ptrdiff_t>(parameters.size());
      if (watch_ != nullptr) {
        watch_->gradients(unit, {found.begin(), border},
                          unit > 0 ? tape.cuts.back().slots : std::vector<std::size_t>(),
                          {border, found.end()});
      }
      if (hooks_ != nullptr) hooks_->gradients_ready(unit, {found.begin(), border});
      grads.assign(border, found.end());
      // Frees this border's tensors before the next unit needs memory.
      if (unit > 0) tape.cuts.back().leaves.clear();
    }
  }

  std::shared_ptr<Model> model_;
  RunnerHooks* hooks_;
  StateWatch* watch_ = nullptr;
  RecomputePlan plan_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<ModelUnit> units_;
};

}  // namespace

std::unique_ptr<BlockRunner> make_runner(std::shared_ptr<Model> model, RunnerHooks* hooks,
                                         RecomputePlan plan) {
  return std::make_unique<Runner>(std::move(model), hooks, std::move(plan));
}

}  // namespace titan
