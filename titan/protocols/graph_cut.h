// graph_cut.h: the borders at which the runner cuts the graph, and backward between two of them.
#pragma once

#include <cstddef>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/protocols/block.h"

namespace titan {

/// The border behind a unit: what it produced, and the leaves the next one starts from. Entry k of
/// all three is the same tensor of the state. A tensor that a unit passes on unchanged is the
/// earlier border's leaf again; autograd adds up what reaches it.
struct Cut {
  std::vector<std::size_t> slots;    ///< places in the state, as BlockState::for_each counts
  std::vector<at::Tensor> produced;  ///< empty where the unit recorded no graph
  std::vector<at::Tensor> leaves;
};

/// Replaces every tensor of `state` that carries gradient by a fresh leaf.
Cut cut_graph(BlockState& state);

/// The same behind a unit that ran on `input` without recording: what is new and a floating-point
/// tensor may carry gradient, what was passed on carries it if it did before. Nothing is produced.
Cut cut_unrecorded(BlockState& state, const std::vector<at::Tensor>& input);

/// Every tensor of the state, in the order of for_each; undefined ones too.
std::vector<at::Tensor> tensors_of(const BlockState& state);

/// Gradients of `inputs` from those of `outputs`; undefined where nothing flows. Frees the graph it
/// walks.
std::vector<at::Tensor> backward_between(const std::vector<at::Tensor>& outputs,
                                         const std::vector<at::Tensor>& output_grads,
                                         const std::vector<at::Tensor>& inputs);

}  // namespace titan
