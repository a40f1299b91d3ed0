#include "titan/models/objectives/registry.h"

#include <map>
#include <numbers>
#include <string>

namespace titan {
namespace objectives {
namespace {

template <class Kind>
StatusOr<Kind> choose(const std::string& key, const std::string& value,
                      const std::map<std::string, Kind>& choices) {
  const auto found = choices.find(value);
  if (found != choices.end()) return found->second;
  std::string known;
  for (const auto& [name, kind] : choices) known += (known.empty() ? "" : ", ") + name;
  return invalid_argument("[objective] ", key, " is one of ", known, " (", value, ")");
}

}  // namespace

StatusOr<RectifiedFlowOptions> rectified_flow_options(const ObjectiveSection& section) {
  RectifiedFlowOptions options;
  TITAN_ASSIGN_OR_RETURN(options.timesteps.density,
                         choose<TimestepDensity>("timestep_sampler", section.timestep_sampler,
                                                 {{"uniform", TimestepDensity::kUniform},
                                                  {"logit_normal", TimestepDensity::kLogitNormal},
                                                  {"mode", TimestepDensity::kMode},
                                                  {"cosmap", TimestepDensity::kCosMap}}));
  TITAN_ASSIGN_OR_RETURN(options.weight, choose<LossWeight>("loss_weight", section.loss_weight,
                                                            {{"none", LossWeight::kNone},
                                                             {"sigma_sqrt", LossWeight::kSigmaSqrt},
                                                             {"cosmap", LossWeight::kCosMap}}));
  // Outside this range the map u -> sigma is not monotone and leaves [0, 1] (Esser et al. 2024,
  // equation 20).
  const double largest = 2 / (std::numbers::pi - 2);
  if (options.timesteps.density == TimestepDensity::kMode &&
      (section.mode_scale < -1 || section.mode_scale > largest)) {
    return invalid_argument("[objective] mode_scale lies in [-1, ", largest, "] (",
                            section.mode_scale, ")");
  }
  options.timesteps.logit_mean = section.logit_mean;
  options.timesteps.logit_std = section.logit_std;
  options.timesteps.mode_scale = section.mode_scale;
  options.timesteps.shift = section.shift;
  return options;
}

StatusOr<DdpmOptions> ddpm_options(const ObjectiveSection& section) {
  DdpmOptions options;
  options.num_timesteps = section.num_timesteps;
  options.min_snr_gamma = section.min_snr_gamma;
  TITAN_ASSIGN_OR_RETURN(options.schedule,
                         choose<BetaSchedule>("beta_schedule", section.beta_schedule,
                                              {{"linear", BetaSchedule::kLinear},
                                               {"scaled_linear", BetaSchedule::kScaledLinear},
                                               {"cosine", BetaSchedule::kCosine}}));
  TITAN_ASSIGN_OR_RETURN(options.prediction, choose<Prediction>("prediction", section.prediction,
                                                                {{"epsilon", Prediction::kEpsilon},
                                                                 {"v", Prediction::kV}}));
  return options;
}

}  // namespace objectives

StatusOr<std::unique_ptr<Objective>> make_objective(const JobConfig& config, const DataShape& shape,
                                                    std::uint64_t seed) {
  const objectives::ClassDropout dropout{.probability = config.training.class_dropout_prob,
                                         .null_class = shape.num_classes};
  if (config.objective.name == "rectified_flow") {
    TITAN_ASSIGN_OR_RETURN(objectives::RectifiedFlowOptions options,
                           objectives::rectified_flow_options(config.objective));
    options.dropout = dropout;
    return std::unique_ptr<Objective>(std::make_unique<objectives::RectifiedFlow>(options, seed));
  }
  if (config.objective.name == "ddpm") {
    TITAN_ASSIGN_OR_RETURN(objectives::DdpmOptions options,
                           objectives::ddpm_options(config.objective));
    options.dropout = dropout;
    return std::unique_ptr<Objective>(std::make_unique<objectives::Ddpm>(options, seed));
  }
  return invalid_argument("[objective] name is one of rectified_flow, ddpm (",
                          config.objective.name, ")");
}

}  // namespace titan
