// models/objectives: what a diffusion model learns (noise, time, target, weight). Single-device
// code; no model, no trainer.
//
// timesteps.h: densities of the noise level and weights of the loss for flow models.
// Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, sections 3.1
// and 5.3.2.
//
// sigma is the noise level, 0 = data, 1 = noise, whatever direction a model's time runs in.
// Functions are elementwise and keep the dtype (float32 in training, float64 in tests).
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace titan::objectives {

enum class TimestepDensity { kUniform, kLogitNormal, kMode, kCosMap };
enum class LossWeight { kNone, kSigmaSqrt, kCosMap };

/// 1 / (1 + exp(-(mean + std n))) of standard normal draws n.
at::Tensor logit_normal_sigma(const at::Tensor& n, double mean, double std);
/// 1 - u - s (cos(pi u / 2)^2 - 1 + u) of uniform draws u; stays inside [0, 1] for s in [-1, 2 /
/// (pi - 2)].
at::Tensor mode_sigma(const at::Tensor& u, double scale);
/// 1 - 1 / (tan(pi u / 2) + 1), evaluated as sin / (sin + cos), which is finite at u = 1.
at::Tensor cosmap_sigma(const at::Tensor& u);

/// a sigma / (1 + (a - 1) sigma): moves noise levels towards noise for a > 1; 0 and 1 stay.
at::Tensor shift_sigma(const at::Tensor& sigma, double shift);
double shift_sigma(double sigma, double shift);
/// Flux's shift for a number of image tokens: exp(mu), mu on the line through (256, 0.5) and
/// (4096, 1.15).
double shift_for_tokens(std::int64_t tokens);

/// Weight of a sample by its noise level: sigma^-2, or 2 / (pi (1 - 2 sigma + 2 sigma^2)).
/// Undefined tensor for kNone.
at::Tensor loss_weight(LossWeight kind, const at::Tensor& sigma);

/// How noise levels are drawn: the density first, then the shift.
struct TimestepOptions {
  TimestepDensity density = TimestepDensity::kUniform;
  double logit_mean = 0.0;
  double logit_std = 1.0;
  double mode_scale = 1.29;
  double shift = 1.0;
};

/// Noise levels [B] float32 of samples (`sample`, `epoch` [B] int64), keyed by
/// RandomPurpose::kTimestep.
at::Tensor draw_sigma(const TimestepOptions& options, const at::Tensor& sample,
                      const at::Tensor& epoch, std::uint64_t seed);

}  // namespace titan::objectives
