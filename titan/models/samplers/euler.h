// euler.h: Euler steps along the field that rectified flow has learned.
#pragma once

#include "titan/models/objectives/rectified_flow.h"
#include "titan/protocols/sampler.h"

namespace titan::samplers {

struct EulerOptions {
  objectives::FlowDirection direction = objectives::FlowDirection::kDataAtOne;
  double shift = 1.0;  ///< noise levels are placed as objective.shift placed them in training
};

/// Noise levels sigma_i = shift(1 - i / N), i = 0 .. N, from noise to data; the model is asked at
/// the first N of them.
class EulerSampler : public Sampler {
 public:
  explicit EulerSampler(EulerOptions options) : options_(options) {}

  at::Tensor sample(
      const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
      const Conditioning& null_condition, const SamplerOptions& options,
      const std::function<void(int64_t step, const at::Tensor& x)>& on_step = {}) const override;

 private:
  EulerOptions options_;
};

}  // namespace titan::samplers
