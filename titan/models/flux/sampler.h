// sampler.h: from noise to latents with a Flux model.
#pragma once

#include <cstdint>
#include <vector>

#include "titan/config/job_config.h"
#include "titan/models/flux/config.h"
#include "titan/protocols/sampler.h"

namespace titan::models {

/// How timesteps are moved towards noise: t' = e^mu / (e^mu + 1 / t - 1), mu on the line through
/// (256, base_shift) and (4096, max_shift) over the number of image tokens.
struct FluxSchedule {
  bool shift = false;
  double base_shift = 0.5;
  double max_shift = 1.15;
};

/// steps + 1 timesteps from 1 (noise) to 0 (data).
std::vector<double> flux_timesteps(int64_t steps, int64_t image_tokens,
                                   const FluxSchedule& schedule);

/// Euler steps along the model's velocity, x + (t_next - t) v, from noise [B, C, H, W] at
/// timesteps[0] to timesteps.back(). Where guidance != 1: v = v_null + guidance (v - v_null).
at::Tensor integrate(const DenoiseFunction& denoise, const at::Tensor& noise,
                     const std::vector<double>& timesteps, const Conditioning& condition,
                     const Conditioning& null_condition, double guidance,
                     const std::function<void(int64_t step, const at::Tensor& x)>& on_step = {});

/// The schedule that [sampling] asks for; "auto" shifts for models with a guidance embedding alone
/// (FLUX.1-schnell was distilled without the shift).
FluxSchedule flux_schedule(const SamplingSection& section, bool guidance_embed);

/// Guidance comes in one of two ways: a model with a guidance embedding is told the scale and runs
/// once a step; any other runs twice, with the prompt and with the empty one.
class FluxSampler : public Sampler {
 public:
  FluxSampler(FluxSchedule schedule, bool guidance_embed)
      : schedule_(schedule), guidance_embed_(guidance_embed) {}

  at::Tensor sample(
      const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
      const Conditioning& null_condition, const SamplerOptions& options,
      const std::function<void(int64_t step, const at::Tensor& x)>& on_step = {}) const override;

 private:
  FluxSchedule schedule_;
  bool guidance_embed_;
};

}  // namespace titan::models
