#include "titan/models/samplers/euler.h"

#include <ATen/core/grad_mode.h>

#include "titan/base/check.h"
#include "titan/models/samplers/guidance.h"

namespace titan::samplers {

at::Tensor EulerSampler::sample(
    const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
    const Conditioning& null_condition, const SamplerOptions& options,
    const std::function<void(int64_t step, const at::Tensor& x)>& on_step) const {
  TITAN_CHECK(options.steps >= 1, "[sampler] at least one step (", options.steps, ")");
  const at::NoGradGuard no_grad;
  const bool data_at_one = options_.direction == objectives::FlowDirection::kDataAtOne;
  // The model's time before step i (float64: i / N exactly as the float32 of the training times
  // rounds it).
  const auto time = [&](int64_t i) {
    const double progress = static_cast<double>(i) / static_cast<double>(options.steps);
    if (options_.shift == 1.0) return data_at_one ? progress : 1 - progress;
    const double sigma = objectives::shift_sigma(1 - progress, options_.shift);
    return data_at_one ? 1 - sigma : sigma;
  };
  at::Tensor x = noise.to(at::kFloat);
  for (int64_t i = 0; i < options.steps; ++i) {
    const at::Tensor field =
        guided_prediction(denoise, x, time(i), condition, null_condition, options.guidance);
    x = x + field * (time(i + 1) - time(i));
    if (on_step) on_step(i, x);
  }
  return x;
}

}  // namespace titan::samplers
