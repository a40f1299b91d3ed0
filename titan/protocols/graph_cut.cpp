#include "titan/protocols/graph_cut.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace titan {
namespace {

template <class Carries>
Cut cut_where(BlockState& state, bool recorded, const Carries& carries_gradient) {
  Cut cut;
  std::size_t slot = 0;
  state.for_each([&](at::Tensor& tensor) {
    const std::size_t here = slot++;
    if (!tensor.defined() || !carries_gradient(tensor)) return;
    cut.slots.push_back(here);
    if (recorded) cut.produced.push_back(tensor);
    tensor = tensor.detach().requires_grad_(true);
    cut.leaves.push_back(tensor);
  });
  return cut;
}

}  // namespace

Cut cut_graph(BlockState& state) {
  return cut_where(state, /*recorded=*/true,
                   [](const at::Tensor& tensor) { return tensor.requires_grad(); });
}

Cut cut_unrecorded(BlockState& state, const std::vector<at::Tensor>& input) {
  const auto passed_on = [&](const at::Tensor& tensor) {
    return std::any_of(input.begin(), input.end(),
                       [&](const at::Tensor& earlier) { return earlier.is_same(tensor); });
  };
  return cut_where(state, /*recorded=*/false, [&](const at::Tensor& tensor) {
    return tensor.requires_grad() || (tensor.is_floating_point() && !passed_on(tensor));
  });
}

std::vector<at::Tensor> tensors_of(const BlockState& state) {
  std::vector<at::Tensor> tensors;
  state.for_each([&](const at::Tensor& tensor) { tensors.push_back(tensor); });
  return tensors;
}

std::vector<at::Tensor> backward_between(const std::vector<at::Tensor>& outputs,
                                         const std::vector<at::Tensor>& output_grads,
                                         const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> reached, reached_grads;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (!output_grads[k].defined() || !outputs[k].requires_grad()) continue;
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

}  // namespace titan
