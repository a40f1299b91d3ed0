#include "titan/models/samplers/ddim.h"

#include <cmath>

#include <ATen/core/grad_mode.h>

#include "titan/base/check.h"
#include "titan/models/samplers/guidance.h"

namespace titan::samplers {
namespace {

/// What a prediction says about the data and the noise in x.
struct Estimate {
  at::Tensor data, noise;
};

Estimate split(objectives::Prediction kind, const at::Tensor& x, const at::Tensor& prediction,
               double alpha_bar) {
  const double signal = std::sqrt(alpha_bar), spread = std::sqrt(1 - alpha_bar);
  if (kind == objectives::Prediction::kEpsilon)
    return {(x - spread * prediction) / signal, prediction};
  return {signal * x - spread * prediction, signal * prediction + spread * x};
}

}  // namespace

std::vector<std::int64_t> ddim_steps(std::int64_t num_timesteps, std::int64_t count) {
  TITAN_CHECK(count >= 1 && count <= num_timesteps,
              "[sampler] steps lie in 1 .. objective.num_timesteps (", count, ", ", num_timesteps,
              ")");
  std::vector<std::int64_t> steps;
  for (std::int64_t i = 0; i < count; ++i) {
    const double left = static_cast<double>(num_timesteps) * static_cast<double>(count - i) /
                        static_cast<double>(count);
    steps.push_back(static_cast<std::int64_t>(std::llround(left)) - 1);
  }
  return steps;
}

DdimSampler::DdimSampler(DdimOptions options)
    : options_(options),
      alpha_bar_(objectives::alphas_cumprod(options.schedule, options.num_timesteps)) {}

at::Tensor DdimSampler::sample(
    const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
    const Conditioning& null_condition, const SamplerOptions& options,
    const std::function<void(int64_t step, const at::Tensor& x)>& on_step) const {
  const at::NoGradGuard no_grad;
  const std::vector<std::int64_t> steps = ddim_steps(options_.num_timesteps, options.steps);
  at::Tensor x = noise.to(at::kFloat);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const double time = static_cast<double>(steps[i]) / static_cast<double>(options_.num_timesteps);
    const at::Tensor prediction =
        guided_prediction(denoise, x, time, condition, null_condition, options.guidance);
    const double now = alpha_bar_[static_cast<std::size_t>(steps[i])];
    const double next =
        i + 1 < steps.size() ? alpha_bar_[static_cast<std::size_t>(steps[i + 1])] : 1.0;
    const Estimate estimate = split(options_.prediction, x, prediction, now);
    x = std::sqrt(next) * estimate.data + std::sqrt(1 - next) * estimate.noise;
    if (on_step) on_step(static_cast<int64_t>(i), x);
  }
  return x;
}

}  // namespace titan::samplers
