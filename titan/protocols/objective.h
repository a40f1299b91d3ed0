// objective.h: what is learned. An objective turns a batch into what the model sees, and a
// prediction into a loss.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>

#include "titan/data/batch.h"
#include "titan/protocols/model.h"

namespace titan {

/// What the model sees and what it should say, for one micro-batch.
struct TrainingExample {
  at::Tensor x_t;  ///< [B, C, H, W] float32
  at::Tensor t;    ///< [B] float32
  Conditioning condition;
  at::Tensor target;  ///< [B, C, H, W] float32
  at::Tensor weight;  ///< [B] float32, or undefined = 1
};

class Objective {
 public:
  virtual ~Objective() = default;

  /// Draws noise, timestep and condition dropout; every draw is keyed by (seed, purpose, sample,
  /// epoch), so a sample gets the same numbers on any layout.
  virtual TrainingExample prepare(const Batch& batch) const = 0;

  /// Loss of each sample, [B] float32, whatever the dtype of the prediction. The trainer takes the
  /// mean over the global batch.
  virtual at::Tensor loss(const at::Tensor& prediction, const TrainingExample& example) const = 0;
};

}  // namespace titan
