#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "titan/base/check.h"
#include "titan/protocols/block_runner.h"

namespace titan {
namespace {

/// The border between two units: what the earlier one produced, and the leaves the later one starts
/// from. Entry k of both is the same slot of the state. A tensor that a unit passes on unchanged is
/// the earlier border's leaf again; autograd adds up what reaches it.
struct Cut {
  std::vector<at::Tensor> produced;
  std::vector<at::Tensor> leaves;
};

/// Replaces every tensor of `state` that carries gradient by a fresh leaf.
Cut cut_graph(BlockState& state) {
  Cut cut;
  state.for_each([&](at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.requires_grad()) return;
    cut.produced.push_back(tensor);
    tensor = tensor.detach().requires_grad_(true);
    cut.leaves.push_back(tensor);
  });
  return cut;
}

/// Gradients of `inputs` from those of `outputs`; undefined where nothing flows. Frees the graph it
/// walks.
std::vector<at::Tensor> backward_unit(const std::vector<at::Tensor>& outputs,
                                      const std::vector<at::Tensor>& output_grads,
                                      const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> reached, reached_grads;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (!output_grads[k].defined()) continue;
    reached.push_back(outputs[k]);
    reached_grads.push_back(output_grads[k]);
  }
  std::vector<at::Tensor> wanted;
  for (const at::Tensor& input : inputs)
    if (input.requires_grad()) wanted.push_back(input);
  std::vector<at::Tensor> found;
  if (!reached.empty() && !wanted.empty()) {
    found = torch::autograd::grad(reached, wanted, reached_grads, /*retain_graph=*/false,
                                  /*create_graph=*/false, /*allow_unused=*/true);
  }
  std::vector<at::Tensor> result(inputs.size());
  std::size_t next = 0;
  for (std::size_t k = 0; k < inputs.size() && next < found.size(); ++k)
    if (inputs[k].requires_grad()) result[k] = found[next++];
  return result;
}

class PlainRunner : public BlockRunner {
 public:
  PlainRunner(std::shared_ptr<Model> model, RunnerHooks* hooks)
      : model_(std::move(model)),
        hooks_(hooks),
        blocks_(model_->blocks()),
        units_(split_into_units(*model_)) {}

 private:
  std::size_t head() const { return blocks_.size() + 1; }

  template <class Function>
  auto run_unit(std::size_t unit, const Function& function) {
    if (hooks_ != nullptr) hooks_->before_forward(unit);
    auto result = function();
    if (hooks_ != nullptr) hooks_->after_forward(unit);
    return result;
  }

 public:
  at::Tensor forward(const at::Tensor& x_t, const at::Tensor& t,
                     const Conditioning& condition) override {
    const at::NoGradGuard no_grad;
    if (hooks_ != nullptr) hooks_->begin_pass(/*with_backward=*/false);
    BlockState state = run_unit(0, [&] { return model_->embed(x_t, t, condition); });
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      state = run_unit(i + 1, [&] { return blocks_[i]->forward(std::move(state)); });
    return run_unit(head(), [&] { return model_->head(state, x_t.sizes()); });
  }

  at::Tensor forward_backward(const at::Tensor& x_t, const at::Tensor& t,
                              const Conditioning& condition,
                              const LossFunction& loss_function) override {
    const at::AutoGradMode with_grad(true);
    std::vector<Cut> cuts;  // cuts[i] lies behind unit i
    cuts.reserve(blocks_.size() + 1);
    if (hooks_ != nullptr) hooks_->begin_pass(/*with_backward=*/true);
    BlockState state = run_unit(0, [&] { return model_->embed(x_t, t, condition); });
    cuts.push_back(cut_graph(state));
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      state = run_unit(i + 1, [&] { return blocks_[i]->forward(std::move(state)); });
      cuts.push_back(cut_graph(state));
    }
    at::Tensor loss =
        run_unit(head(), [&] { return loss_function(model_->head(state, x_t.sizes())); });
    TITAN_CHECK(loss.numel() == 1 && loss.requires_grad(),
                "[runner] the loss must be one number that depends on the parameters (shape ",
                loss.sizes(), ")");
    state = {};
    backward(loss, cuts);
    return loss.detach();
  }

 private:
  void backward(const at::Tensor& loss, std::vector<Cut>& cuts) {
    std::vector<at::Tensor> outputs = {loss};
    std::vector<at::Tensor> grads = {at::ones_like(loss)};
    for (std::size_t unit = head() + 1; unit-- > 0;) {
      if (hooks_ != nullptr) hooks_->before_backward(unit);
      const ModelUnit& parameters = units_[unit];
      std::vector<at::Tensor> inputs = parameters.parameters;
      if (unit > 0)
        inputs.insert(inputs.end(), cuts[unit - 1].leaves.begin(), cuts[unit - 1].leaves.end());
      std::vector<at::Tensor> found = backward_unit(outputs, grads, inputs);
      const auto border = found.begin() + static_cast<std::ptrdiff_t>(parameters.parameters.size());
      if (hooks_ != nullptr) hooks_->gradients_ready(unit, {found.begin(), border});
      grads.assign(border, found.end());
      outputs.clear();
      if (unit == 0) break;
      outputs = std::move(cuts[unit - 1].produced);
      cuts.pop_back();  // frees this border's tensors before the next unit needs memory
    }
  }

  std::shared_ptr<Model> model_;
  RunnerHooks* hooks_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<ModelUnit> units_;
};

}  // namespace

std::unique_ptr<BlockRunner> make_plain_runner(std::shared_ptr<Model> model, RunnerHooks* hooks) {
  return std::make_unique<PlainRunner>(std::move(model), hooks);
}

}  // namespace titan
