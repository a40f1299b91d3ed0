#include "titan/models/objectives/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "titan/base/check.h"

namespace titan::objectives {
namespace {

constexpr double kLargestBeta = 0.999;

double cosine_alpha_bar(double s) {
  const double c = std::cos((s + 0.008) / 1.008 * std::numbers::pi / 2);
  return c * c;
}

}  // namespace

std::vector<double> betas(BetaSchedule schedule, std::int64_t num_timesteps) {
  TITAN_CHECK(num_timesteps >= 2, "[ddpm] num_timesteps is at least 2 (", num_timesteps, ")");
  const auto count = static_cast<double>(num_timesteps);
  const double scale = 1000 / count;
  std::vector<double> result(static_cast<std::size_t>(num_timesteps));
  for (std::int64_t i = 0; i < num_timesteps; ++i) {
    const double part = static_cast<double>(i) / (count - 1);
    double beta = 0;
    switch (schedule) {
      case BetaSchedule::kLinear:
        beta = scale * (1e-4 + part * (0.02 - 1e-4));
        break;
      case BetaSchedule::kScaledLinear: {
        const double root = std::sqrt(0.00085) + part * (std::sqrt(0.012) - std::sqrt(0.00085));
        beta = scale * root * root;
        break;
      }
      case BetaSchedule::kCosine: {
        const auto at = static_cast<double>(i);
        beta = 1 - cosine_alpha_bar((at + 1) / count) / cosine_alpha_bar(at / count);
        break;
      }
    }
    result[static_cast<std::size_t>(i)] = std::min(beta, kLargestBeta);
  }
  return result;
}

std::vector<double> alphas_cumprod(BetaSchedule schedule, std::int64_t num_timesteps) {
  std::vector<double> result = betas(schedule, num_timesteps);
  double product = 1;
  for (double& value : result) value = product *= 1 - value;
  return result;
}

double min_snr_weight(double alpha_bar, double gamma, Prediction prediction) {
  const double snr = alpha_bar / (1 - alpha_bar);
  return std::min(snr, gamma) / (prediction == Prediction::kEpsilon ? snr : snr + 1);
}

}  // namespace titan::objectives
