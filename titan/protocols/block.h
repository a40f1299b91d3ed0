// protocols: what a model must provide, and how it is run on one device. The seams of titan:
// sharding, recompute, profiling and graph capture attach here, once for every model. Includes
// nothing of parallel, models or train.
//
// block.h: one unit of a model's depth, and the state that flows through the units.
#pragma once

#include <functional>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/data/batch.h"

namespace titan {

/// A residual that is still open: x + gate * branch, closed by the next block's first op or by the
/// head (the fusion across block borders). Both undefined where nothing is open.
struct Residual {
  at::Tensor branch;  ///< [B, N, D]
  at::Tensor gate;    ///< [B, D] or [B, 1, D]
};

/// What flows from unit to unit; unused members stay undefined. Every tensor of it, of any shape,
/// may change from block to block; the runner, recompute and graphs treat all of them alike.
struct BlockState {
  at::Tensor x;        ///< [B, N, D] image tokens (or feature maps of any shape)
  at::Tensor txt;      ///< [B, L, D] text tokens of double-stream blocks
  at::Tensor cond;     ///< [B, D] timestep (+ pooled text or class) embedding
  at::Tensor rope;     ///< rotary table, float32
  Residual open;       ///< not yet added to x
  NamedTensors extra;  ///< a skip stack, or whatever else a model carries

  /// Calls `visit` on every tensor slot, defined or not, in a fixed order.
  void for_each(const std::function<void(at::Tensor&)>& visit) {
    for (at::Tensor* tensor : {&x, &txt, &cond, &rope, &open.branch, &open.gate}) visit(*tensor);
    for (NamedTensors::Entry& entry : extra) visit(entry.second);
  }
  /// Likewise, to look only.
  void for_each(const std::function<void(const at::Tensor&)>& visit) const {
    for (const at::Tensor* tensor : {&x, &txt, &cond, &rope, &open.branch, &open.gate})
      visit(*tensor);
    for (const NamedTensors::Entry& entry : extra) visit(entry.second);
  }
};

/// One unit of depth: the unit of sharding, recompute and tracing. Single-device code.
class Block : public torch::nn::Module {
 public:
  /// What the block makes of the state.
  virtual BlockState forward(BlockState state) = 0;
};

}  // namespace titan
