// objective.h: settings of what is learned.
#pragma once

#include <cstdint>
#include <string>

#include "titan/config/fields.h"

namespace titan {

struct ObjectiveSection {
  std::string name = "rectified_flow";
  std::string timestep_sampler = "uniform";
  double logit_mean = 0.0;
  double logit_std = 1.0;
  double mode_scale = 1.29;
  double shift = 1.0;
  std::string loss_weight = "none";
  std::string prediction = "epsilon";
  int64_t num_timesteps = 1000;
  std::string beta_schedule = "linear";
  double min_snr_gamma = 0.0;
  double guidance = 3.5;
};
template <class V>
void visit_fields(ObjectiveSection& c, V&& v) {
  v("name", c.name, "training objective", rule::one_of({"rectified_flow", "ddpm"}));
  v("timestep_sampler", c.timestep_sampler, "density of the timestep (rectified flow)",
    rule::one_of({"uniform", "logit_normal", "mode", "cosmap"}));
  v("logit_mean", c.logit_mean, "logit_normal: mean of the logit");
  v("logit_std", c.logit_std, "logit_normal: standard deviation of the logit", rule::above(0));
  v("mode_scale", c.mode_scale, "mode: weight of the middle (Esser et al. 2024, section 3.1)",
    rule::between(-1, 1.75));
  v("shift", c.shift, "timesteps are moved towards noise by this factor; 1 = not at all",
    rule::above(0));
  v("loss_weight", c.loss_weight,
    "rectified_flow: weight of a sample by its noise level (Esser et al. 2024, section 3.1)",
    rule::one_of({"none", "sigma_sqrt", "cosmap"}));
  v("prediction", c.prediction, "ddpm: what the model predicts", rule::one_of({"epsilon", "v"}));
  v("num_timesteps", c.num_timesteps, "ddpm: length of the noise schedule", rule::at_least(2));
  v("beta_schedule", c.beta_schedule, "ddpm: noise schedule",
    rule::one_of({"linear", "scaled_linear", "cosine"}));
  v("min_snr_gamma", c.min_snr_gamma, "ddpm: min-SNR loss weight (Hang et al. 2023); 0 = off",
    rule::at_least(0));
  v("guidance", c.guidance,
    "guidance scale that a model with a guidance embedding (flux-dev) is told while training",
    rule::at_least(0));
}

}  // namespace titan
