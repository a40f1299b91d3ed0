// sampler.h: from noise to pictures.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/protocols/model.h"

namespace titan {

/// The model's prediction for x_t [B, C, H, W] at times t [B].
using DenoiseFunction = std::function<at::Tensor(const at::Tensor& x_t, const at::Tensor& t,
                                                 const Conditioning& condition)>;

/// How samples are drawn.
struct SamplerOptions {
  int64_t steps = 32;  ///< evaluations of the model, times two with guidance
  double guidance =
      1.0;  ///< prediction = null + guidance * (conditional - null); 1 = conditional alone
};

/// The way back from noise that belongs to an objective.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// From noise [B, C, H, W] float32 to samples of the same shape. `null_condition` is used where
  /// guidance != 1. `on_step`, if given, sees the state after each step.
  virtual at::Tensor sample(
      const DenoiseFunction& denoise, const at::Tensor& noise, const Conditioning& condition,
      const Conditioning& null_condition, const SamplerOptions& options,
      const std::function<void(int64_t step, const at::Tensor& x)>& on_step = {}) const = 0;
};

}  // namespace titan
