#include "titan/models/flux/spec.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/config/decode.h"
#include "titan/models/flux/empty_text.h"
#include "titan/models/flux/encoder.h"
#include "titan/models/flux/flops.h"
#include "titan/models/flux/model.h"
#include "titan/models/flux/names.h"
#include "titan/models/flux/objective.h"
#include "titan/models/flux/sampler.h"

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

/// The settings that do not hang on the data: enough for a sampler.
StatusOr<FluxConfig> flavor_with_args(const JobConfig& job) {
  TITAN_ASSIGN_OR_RETURN(FluxConfig flavor, flux_flavor(job.model.flavor));
  return decode_args(job.model.args, std::move(flavor));
}

StatusOr<std::unique_ptr<Objective>> make_flux_objective(const JobConfig& job,
                                                         const DataShape& data, std::uint64_t seed,
                                                         const BatchEncoder* encoder) {
  TITAN_ASSIGN_OR_RETURN(const FluxConfig config, resolve_flux_config(job, data));
  TITAN_ASSIGN_OR_RETURN(FluxObjectiveOptions options,
                         flux_objective_options(job, config, data, encoder));
  return std::unique_ptr<Objective>(std::make_unique<FluxObjective>(std::move(options), seed));
}

StatusOr<std::unique_ptr<Sampler>> make_flux_sampler(const JobConfig& job) {
  TITAN_ASSIGN_OR_RETURN(const FluxConfig config, flavor_with_args(job));
  return std::unique_ptr<Sampler>(std::make_unique<FluxSampler>(
      flux_schedule(job.sampling, config.guidance_embed), config.guidance_embed));
}

/// The empty prompt is needed for guidance alone, and not by a model with a guidance embedding.
StatusOr<SamplingCondition> condition_of(const NamedTensors& fields, const JobConfig& job,
                                         const DataShape& data, const BatchEncoder* encoder) {
  TITAN_ASSIGN_OR_RETURN(const FluxConfig config, flavor_with_args(job));
  const at::Tensor t5 = fields.get("t5_encodings"), clip = fields.get("clip_encodings");
  if (!t5.defined() || !clip.defined()) {
    return invalid_argument(
        "[flux] prompts need the fields \"t5_encodings\" and \"clip_encodings\"");
  }
  SamplingCondition result;
  result.condition.set("txt", t5);
  result.condition.set("y", clip);
  const std::vector<double>& scales = job.sampling.guidance;
  const bool guided =
      std::any_of(scales.begin(), scales.end(), [](double scale) { return scale != 1; });
  if (config.guidance_embed || !guided) return result;
  TITAN_ASSIGN_OR_RETURN(const TextEncoding empty, empty_text(job, data, encoder));
  result.null_condition.set("txt", empty.t5.to(t5.options()).expand(t5.sizes()));
  result.null_condition.set("y", empty.clip.to(clip.options()).expand(clip.sizes()));
  return result;
}

}  // namespace

StatusOr<FluxConfig> resolve_flux_config(const JobConfig& job, const DataShape& data) {
  TITAN_ASSIGN_OR_RETURN(FluxConfig config, flavor_with_args(job));
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
  spec.build = [](const JobConfig& job, const DataShape& data,
                  at::Device device) -> StatusOr<std::shared_ptr<Model>> {
    TITAN_ASSIGN_OR_RETURN(FluxConfig config, resolve_flux_config(job, data));
    return std::shared_ptr<Model>(
        std::make_shared<Flux>(config, at::TensorOptions().device(device)));
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
  spec.encoder = make_flux_encoder;
  spec.objective = make_flux_objective;
  spec.sampler = make_flux_sampler;
  spec.encoded_condition = condition_of;
  spec.weight_formats = flux_weight_formats();
  return register_model(std::move(spec));
}

}  // namespace titan::models
