#include "titan/models/objectives/timesteps.h"

#include <cmath>
#include <numbers>

#include <ATen/ops/cos.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sin.h>

#include "titan/base/check.h"
#include "titan/ops/philox.h"

namespace titan::objectives {

using std::numbers::pi;

at::Tensor logit_normal_sigma(const at::Tensor& n, double mean, double std) {
  return at::sigmoid(mean + std * n);
}

at::Tensor mode_sigma(const at::Tensor& u, double scale) {
  return 1 - u - scale * (at::cos(u * (pi / 2)).square() - 1 + u);
}

at::Tensor cosmap_sigma(const at::Tensor& u) {
  const at::Tensor sine = at::sin(u * (pi / 2)), cosine = at::cos(u * (pi / 2));
  return sine / (sine + cosine);
}

double shift_sigma(double sigma, double shift) { return shift * sigma / (1 + (shift - 1) * sigma); }

at::Tensor shift_sigma(const at::Tensor& sigma, double shift) {
  return shift == 1.0 ? sigma : sigma * shift / (1 + (shift - 1) * sigma);
}

double shift_for_tokens(std::int64_t tokens) {
  return std::exp(0.5 + static_cast<double>(tokens - 256) * (1.15 - 0.5) / (4096 - 256));
}

at::Tensor loss_weight(LossWeight kind, const at::Tensor& sigma) {
  switch (kind) {
    case LossWeight::kNone:
      return {};
    case LossWeight::kSigmaSqrt:
      return sigma.square().reciprocal_();
    case LossWeight::kCosMap:
      return (1 - 2 * sigma + 2 * sigma.square()).reciprocal_().mul_(2 / pi);
  }
  TITAN_CHECK(false, "[objective] unknown loss weight (", static_cast<int>(kind), ")");
}

at::Tensor draw_sigma(const TimestepOptions& options, const at::Tensor& sample,
                      const at::Tensor& epoch, std::uint64_t seed) {
  at::Tensor sigma;
  if (options.density == TimestepDensity::kLogitNormal) {
    const at::Tensor n = ops::philox_normal(sample, epoch, {}, seed, RandomPurpose::kTimestep);
    sigma = logit_normal_sigma(n, options.logit_mean, options.logit_std);
  } else {
    const at::Tensor u = ops::philox_uniform(sample, epoch, {}, seed, RandomPurpose::kTimestep);
    if (options.density == TimestepDensity::kMode) {
      sigma = mode_sigma(u, options.mode_scale);
    } else {
      sigma = options.density == TimestepDensity::kCosMap ? cosmap_sigma(u) : u;
    }
  }
  return shift_sigma(sigma, options.shift);
}

}  // namespace titan::objectives
