// gelu_mlp_choice.h: whether gelu_mlp runs in epilogues. A library's epilogue is taken on proof:
// the first call of a shape runs both ways on its own tensors, compares what comes out and its
// gradients, and times them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace titan::ops::detail {

/// Whether device, dtype, sizes and settings allow it.
bool epilogues_possible(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                        const at::Tensor& weight2, const at::Tensor& bias2);

/// The choice for this shape, made at its first call (and told in one line).
bool epilogues_chosen(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                      const at::Tensor& weight2, const at::Tensor& bias2);

/// One way through the MLP: the inputs' result, differentiable.
using MlpWay = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

/// What came of a comparison.
struct WaysCompared {
  std::string refusal;  ///< why `candidate` cannot be taken; empty = it can
  double candidate_s = 0, plain_s = 0;
};
/// Runs both on copies of `inputs` (x, W1, b1, W2, b2), forward and, where one of them requires
/// gradients, backward. Refused where the candidate throws, or a result or gradient differs from
/// the plain one by more than `tolerance` of its largest element. // host sync
WaysCompared compare_ways(const MlpWay& candidate, const MlpWay& plain,
                          const std::vector<at::Tensor>& inputs, double tolerance);

}  // namespace titan::ops::detail
