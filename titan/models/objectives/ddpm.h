// ddpm.h: denoising in T discrete steps (Ho et al. 2020, arXiv:2006.11239).
#pragma once

#include <cstdint>

#include "titan/models/objectives/condition.h"
#include "titan/models/objectives/noise_schedule.h"
#include "titan/protocols/objective.h"

namespace titan::objectives {

struct DdpmOptions {
  std::int64_t num_timesteps = 1000;
  BetaSchedule schedule = BetaSchedule::kLinear;
  Prediction prediction = Prediction::kEpsilon;
  double min_snr_gamma = 0;  ///< 0 = unweighted
  ClassDropout dropout = {};
};

/// x = sqrt(alpha_bar) data + sqrt(1 - alpha_bar) noise at a step drawn uniformly. The model's time
/// is step / T in [0, 1), in the same range as rectified flow's (0 = data); a model that embeds
/// step numbers multiplies by T. All of it float32.
class Ddpm : public Objective {
 public:
  Ddpm(DdpmOptions options, std::uint64_t seed);

  TrainingExample prepare(const Batch& batch) const override;
  TrainingExample prepare_evaluation(const Batch& batch, const at::Tensor& timestep,
                                     std::uint64_t seed) const override;
  at::Tensor loss(const at::Tensor& prediction, const TrainingExample& example) const override;

  /// The example for given noise [B, C, H, W] and steps [B] int64; `prepare` draws them.
  TrainingExample mix(const at::Tensor& data, const at::Tensor& noise,
                      const at::Tensor& step) const;

 private:
  DdpmOptions options_;
  std::uint64_t seed_;
  mutable at::Tensor alpha_bar_;  ///< [T] float64; moves to the device of the first batch
  mutable at::Tensor weight_;     ///< [T] float32, or undefined; as above
};

}  // namespace titan::objectives
