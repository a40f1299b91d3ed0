#include "titan/models/flux/spec.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/config/decode.h"
#include "titan/models/flux/flops.h"
#include "titan/models/flux/model.h"

namespace titan::models {
namespace {

/// Sizes of a field of one sample; empty where the data set does not have it.
std::vector<int64_t> sizes_of(const DataShape& data, const std::string& field) {
  const auto found = data.fields.find(field);
  return found == data.fields.end() ? std::vector<int64_t>() : found->second;
}

/// The widths of the encodings are [encoder]'s where [model.args] does not set them.
void take_encoder_widths(const JobConfig& job, FluxConfig& config) {
  if (job.model.args.count("context_in_dim") == 0)
    config.context_in_dim = job.encoder.context_in_dim;
  if (job.model.args.count("vec_in_dim") == 0) config.vec_in_dim = job.encoder.vec_in_dim;
}

Status check_width(const DataShape& data, const std::string& field, const char* setting,
                   int64_t width) {
  const std::vector<int64_t> sizes = sizes_of(data, field);
  if (sizes.empty() || sizes.back() == width) return ok_status();
  return invalid_argument("[flux] the data set's ", field, " have another width than the model (",
                          setting, "=", width, ", data=", sizes.back(), "); set encoder.", setting);
}

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
  take_encoder_widths(job, config);
  TITAN_RETURN_IF_ERROR(validate(config));
  if (config.outputs() != config.in_channels) {
    return invalid_argument("[flux] training needs out_channels = in_channels (out_channels=",
                            config.out_channels, ", in_channels=", config.in_channels, ")");
  }
  TITAN_RETURN_IF_ERROR(check_latents(config, data));
  TITAN_RETURN_IF_ERROR(check_width(data, "t5_encodings", "context_in_dim", config.context_in_dim));
  TITAN_RETURN_IF_ERROR(check_width(data, "clip_encodings", "vec_in_dim", config.vec_in_dim));
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
    const std::vector<int64_t> text = sizes_of(data, "t5_encodings");
    const int64_t text_tokens = text.size() == 2 ? text[0] : job.encoder.max_t5_encoding_len;
    const int64_t forward =
        flux_flops(config, data.image[1] / patch * (data.image[2] / patch), text_tokens).forward();
    return ModelFlops{.forward = forward, .train = 3 * forward};
  };
  return register_model(std::move(spec));
}

}  // namespace titan::models
