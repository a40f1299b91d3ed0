// objective.h: what is learned. An objective turns a batch into what the model sees, and a
// prediction into a loss.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>

#include "titan/base/check.h"
#include "titan/data/batch.h"
#include "titan/protocols/model.h"

namespace titan {

/// Evaluation asks at k / 8, k = 0 .. 7, of the way from data to noise (MLPerf's Flux benchmark).
inline constexpr int64_t kEvalTimesteps = 8;

/// What the model sees and what it should say, for one micro-batch.
struct TrainingExample {
  at::Tensor x_t;          ///< [B, C, H, W] float32
  at::Tensor t;            ///< [B] float32
  Conditioning condition;  ///< some of it dropped, for guidance
  at::Tensor target;       ///< [B, C, H, W] float32
  at::Tensor weight;       ///< [B] float32, or undefined = 1
};

/// A way to train: noise, timesteps, target and loss.
class Objective {
 public:
  virtual ~Objective() = default;

  /// Draws noise, timestep and condition dropout; every draw is keyed by (seed, purpose, sample,
  /// epoch), so a sample gets the same numbers on any layout.
  virtual TrainingExample prepare(const Batch& batch) const = 0;

  /// What evaluation asks: the same of a sample at every evaluation, whatever its batch. Timestep k
  /// / 8 with k from `timestep` [B] int64; no condition dropout, no loss weight; draws are keyed by
  /// (seed, purpose of evaluation, sample).
  virtual TrainingExample prepare_evaluation(const Batch& /*batch*/, const at::Tensor& /*timestep*/,
                                             std::uint64_t /*seed*/) const {
    TITAN_CHECK(false, "[eval] this objective cannot be evaluated");
  }

  /// Loss of each sample, [B] float32, whatever the dtype of the prediction. The trainer takes the
  /// mean over the global batch.
  virtual at::Tensor loss(const at::Tensor& prediction, const TrainingExample& example) const = 0;
};

}  // namespace titan
