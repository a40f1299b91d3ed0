#include "titan/models/samplers/registry.h"

#include "titan/models/objectives/registry.h"
#include "titan/models/samplers/ddim.h"
#include "titan/models/samplers/euler.h"

namespace titan {

StatusOr<std::unique_ptr<Sampler>> make_sampler(const JobConfig& config) {
  if (config.objective.name == "rectified_flow") {
    TITAN_ASSIGN_OR_RETURN(const objectives::RectifiedFlowOptions flow,
                           objectives::rectified_flow_options(config.objective));
    const samplers::EulerOptions options{.direction = flow.direction,
                                         .shift = flow.timesteps.shift};
    return std::unique_ptr<Sampler>(std::make_unique<samplers::EulerSampler>(options));
  }
  if (config.objective.name == "ddpm") {
    TITAN_ASSIGN_OR_RETURN(const objectives::DdpmOptions ddpm,
                           objectives::ddpm_options(config.objective));
    const samplers::DdimOptions options{.num_timesteps = ddpm.num_timesteps,
                                        .schedule = ddpm.schedule,
                                        .prediction = ddpm.prediction};
    return std::unique_ptr<Sampler>(std::make_unique<samplers::DdimSampler>(options));
  }
  return invalid_argument("[objective] name is one of rectified_flow, ddpm (",
                          config.objective.name, ")");
}

}  // namespace titan
