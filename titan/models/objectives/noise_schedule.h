// noise_schedule.h: how much noise each of T discrete steps carries (DDPM).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace titan::objectives {

enum class BetaSchedule {
  kLinear,        ///< 1e-4 .. 0.02 (Ho et al. 2020, arXiv:2006.11239)
  kScaledLinear,  ///< roots evenly from sqrt(0.00085) to sqrt(0.012) (Rombach et al. 2022)
  kCosine,        ///< alpha_bar(s) = cos((s + 0.008) / 1.008 pi / 2)^2 (Nichol & Dhariwal 2021,
                  ///< arXiv:2102.09672)
};

/// Betas of `num_timesteps` steps in float64. The two linear ones are published for 1000 steps and
/// are scaled by 1000 / T, so that the last step is noise for any T; none exceeds 0.999.
std::vector<double> betas(BetaSchedule schedule, std::int64_t num_timesteps);

/// alpha_bar_t = product of (1 - beta_s) for s <= t: the share of variance that is data, falling
/// from nearly 1 to nearly 0.
std::vector<double> alphas_cumprod(BetaSchedule schedule, std::int64_t num_timesteps);

/// What the model predicts.
enum class Prediction {
  kEpsilon,  ///< the noise
  kV,  ///< sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) data (Salimans & Ho 2022, arXiv:2202.00512)
};

/// min-SNR-gamma weight (Hang et al. 2023, arXiv:2303.09556), snr = alpha_bar / (1 - alpha_bar):
/// min(snr, gamma) / snr for epsilon, min(snr, gamma) / (snr + 1) for v.
double min_snr_weight(double alpha_bar, double gamma, Prediction prediction);

}  // namespace titan::objectives
