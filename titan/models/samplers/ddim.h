// ddim.h: deterministic sampling of a DDPM (Song et al. 2020, arXiv:2010.02502, eta = 0).
#pragma once

#include <cstdint>
#include <vector>

#include "titan/models/objectives/noise_schedule.h"
#include "titan/protocols/sampler.h"

namespace titan::samplers {

struct DdimOptions {
  std::int64_t num_timesteps = 1000;
  objectives::BetaSchedule schedule = objectives::BetaSchedule::kLinear;
  objectives::Prediction prediction = objectives::Prediction::kEpsilon;
};

/// N of the T steps, evenly from the last one down ("trailing": Lin et al. 2023, arXiv:2305.08891,
/// table 2), then data.
std::vector<std::int64_t> ddim_steps(std::int64_t num_timesteps, std::int64_t count);

class DdimSampler : public Sampler {
 public:
  explicit DdimSampler(DdimOptions options);

  /// options.steps lies in [1, num_timesteps].
  at::Tensor sample(
      const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
      const Conditioning& null_condition, const SamplerOptions& options,
      const std::function<void(int64_t step, const at::Tensor& x)>& on_step = {}) const override;

 private:
  DdimOptions options_;
  std::vector<double> alpha_bar_;
};

}  // namespace titan::samplers
