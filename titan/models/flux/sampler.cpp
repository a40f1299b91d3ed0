#include "titan/models/flux/sampler.h"

#include <cmath>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include "titan/base/check.h"
#include "titan/models/samplers/guidance.h"

namespace titan::models {

std::vector<double> flux_timesteps(int64_t steps, int64_t image_tokens,
                                   const FluxSchedule& schedule) {
  TITAN_CHECK(steps >= 1, "[sampler] at least one step (", steps, ")");
  const double slope = (schedule.max_shift - schedule.base_shift) / (4096 - 256);
  const double factor =
      std::exp(schedule.base_shift + static_cast<double>(image_tokens - 256) * slope);
  std::vector<double> timesteps;
  for (int64_t i = 0; i <= steps; ++i) {
    const double t = 1 - static_cast<double>(i) / static_cast<double>(steps);
    timesteps.push_back(schedule.shift && t > 0 ? factor / (factor + 1 / t - 1) : t);
  }
  return timesteps;
}

at::Tensor integrate(const DenoiseFunction& denoise, const at::Tensor& noise,
                     const std::vector<double>& timesteps, const Conditioning& condition,
                     const Conditioning& null_condition, double guidance,
                     const std::function<void(int64_t step, const at::Tensor& x)>& on_step) {
  const at::NoGradGuard no_grad;
  at::Tensor x = noise.to(at::kFloat);
  for (std::size_t i = 0; i + 1 < timesteps.size(); ++i) {
    const at::Tensor velocity =
        samplers::guided_prediction(denoise, x, timesteps[i], condition, null_condition, guidance);
    x = x + velocity * (timesteps[i + 1] - timesteps[i]);
    if (on_step) on_step(static_cast<int64_t>(i), x);
  }
  return x;
}

FluxSchedule flux_schedule(const SamplingSection& section, bool guidance_embed) {
  return {.shift = section.schedule_shift == "on" ||
                   (section.schedule_shift == "auto" && guidance_embed),
          .base_shift = section.base_shift,
          .max_shift = section.max_shift};
}

at::Tensor FluxSampler::sample(
    const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
    const Conditioning& null_condition, const SamplerOptions& options,
    const std::function<void(int64_t step, const at::Tensor& x)>& on_step) const {
  const int64_t patch = FluxConfig::kPatch;
  const std::vector<double> timesteps =
      flux_timesteps(options.steps, noise.size(2) / patch * (noise.size(3) / patch), schedule_);
  if (!guidance_embed_) {
    return integrate(denoise, noise, timesteps, condition, null_condition, options.guidance,
                     on_step);
  }
  Conditioning told = condition;
  told.set("guidance",
           at::full({noise.size(0)}, options.guidance, noise.options().dtype(at::kFloat)));
  return integrate(denoise, noise, timesteps, told, null_condition, /*guidance=*/1.0, on_step);
}

}  // namespace titan::models
