// rectified_flow.h: straight paths between noise and data (Liu et al. 2022, arXiv:2209.03003;
// Lipman et al. 2022).
#pragma once

#include <cstdint>

#include "titan/models/objectives/condition.h"
#include "titan/models/objectives/timesteps.h"
#include "titan/protocols/objective.h"

namespace titan::objectives {

/// Which end of the path the model's time 1 is. Both train the same field, with the sign of time
/// and target turned.
enum class FlowDirection {
  kDataAtOne,   ///< t = 1 - sigma, x_t = noise + t (data - noise), target data - noise (TorchDiTan)
  kNoiseAtOne,  ///< t = sigma, x_t = data + t (noise - data), target noise - data (Flux, SD3)
};

struct RectifiedFlowOptions {
  FlowDirection direction = FlowDirection::kDataAtOne;
  TimestepOptions timesteps = {};
  LossWeight weight = LossWeight::kNone;
  ClassDropout dropout = {};
};

/// Noise, time, path and loss are float32 whatever dtype the model computes in; t lies in [0, 1].
class RectifiedFlow : public Objective {
 public:
  RectifiedFlow(RectifiedFlowOptions options, std::uint64_t seed);

  TrainingExample prepare(const Batch& batch) const override;
  TrainingExample prepare_evaluation(const Batch& batch, const at::Tensor& timestep,
                                     std::uint64_t seed) const override;
  at::Tensor loss(const at::Tensor& prediction, const TrainingExample& example) const override;

  /// The example for given noise [B, C, H, W] and noise levels [B]; `prepare` draws them.
  TrainingExample mix(const at::Tensor& data, const at::Tensor& noise,
                      const at::Tensor& sigma) const;

 private:
  RectifiedFlowOptions options_;
  std::uint64_t seed_;
};

}  // namespace titan::objectives
