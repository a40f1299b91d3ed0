#include "titan/models/flux/spec.h"

#include <memory>
#include <utility>

#include "titan/config/decode.h"
#include "titan/models/flux/flops.h"
#include "titan/models/flux/model.h"

namespace titan::models {
namespace {

constexpr int64_t kTextTokens = 256;  // of the benchmark, where the data set does not say

Status check_latents(const FluxConfig& config, const DataShape& data) {
  if (data.image.size() != 3) {
    return invalid_argument("[flux] the model takes latents [C, H, W]; the data set has ",
                            data.image.size(), " dimensions");
  }
  if (config.latent_channels() != data.image[0]) {
    return invalid_argument("[flux] in_channels must be 4 x the latents' channels (in_channels=",
                            config.in_channels, ", channels=", data.image[0], ")");
  }
  if (data.image[1] % FluxConfig::kPatch != 0 || data.image[2] % FluxConfig::kPatch != 0) {
    return invalid_argument("[flux] height and width of the latents must be even (latents=",
                            data.image[1], "x", data.image[2], ")");
  }
  return ok_status();
}

}  // namespace

StatusOr<FluxConfig> resolve_flux_config(const JobConfig& job, const DataShape& data) {
  TITAN_ASSIGN_OR_RETURN(FluxConfig flavor, flux_flavor(job.model.flavor));
  TITAN_ASSIGN_OR_RETURN(FluxConfig config, decode_args(job.model.args, std::move(flavor)));
  TITAN_RETURN_IF_ERROR(validate(config));
  if (config.outputs() != config.in_channels) {
    return invalid_argument("[flux] training needs out_channels = in_channels (out_channels=",
                            config.out_channels, ", in_channels=", config.in_channels, ")");
  }
  TITAN_RETURN_IF_ERROR(check_latents(config, data));
  return config;
}

Status register_flux() {
  ModelSpec spec;
  spec.name = "flux";
  spec.flavors = flux_flavors();
  spec.build = [](const JobConfig& job, const DataShape& data) -> StatusOr<std::shared_ptr<Model>> {
    TITAN_ASSIGN_OR_RETURN(FluxConfig config, resolve_flux_config(job, data));
    return std::shared_ptr<Model>(std::make_shared<Flux>(config));
  };
  spec.flops = [](const JobConfig& job, const DataShape& data) -> StatusOr<ModelFlops> {
    TITAN_ASSIGN_OR_RETURN(FluxConfig config, resolve_flux_config(job, data));
    const int64_t patch = FluxConfig::kPatch;
    const int64_t forward =
        flux_flops(config, data.image[1] / patch * (data.image[2] / patch), kTextTokens).forward();
    return ModelFlops{.forward = forward, .train = 3 * forward};
  };
  return register_model(std::move(spec));
}

}  // namespace titan::models
