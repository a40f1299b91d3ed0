#include "titan/models/dit/spec.h"

#include <memory>
#include <utility>

#include "titan/config/decode.h"
#include "titan/models/dit/flops.h"
#include "titan/models/dit/model.h"

namespace titan::models {

StatusOr<DitConfig> resolve_dit_config(const JobConfig& job, const DataShape& data) {
  TITAN_ASSIGN_OR_RETURN(DitConfig flavor, dit_flavor(job.model.flavor));
  TITAN_ASSIGN_OR_RETURN(DitConfig config, decode_args(job.model.args, std::move(flavor)));
  if (data.image.size() != 3) {
    return invalid_argument("[dit] the model takes images or latents [C, H, W]; the data set has ",
                            data.image.size(), " dimensions");
  }
  if (config.in_channels == 0) config.in_channels = data.image[0];
  if (config.num_classes == 0) config.num_classes = data.num_classes;
  if (config.in_channels != data.image[0]) {
    return invalid_argument("[dit] in_channels differs from the data (in_channels=",
                            config.in_channels, ", data=", data.image[0], ")");
  }
  // Classes of the data above the model's have no row in its table; nor has "no class" then.
  if (config.num_classes < data.num_classes) {
    return invalid_argument("[dit] model.args.num_classes=", config.num_classes,
                            " is less than the data's ", data.num_classes,
                            " classes (dataset.num_classes, or what the data set itself says); "
                            "0 takes the data's");
  }
  TITAN_RETURN_IF_ERROR(validate(config, data.image[1], data.image[2]));
  return config;
}

Status register_dit() {
  ModelSpec spec;
  spec.name = "dit";
  spec.flavors = dit_flavors();
  spec.build = [](const JobConfig& job, const DataShape& data,
                  at::Device device) -> StatusOr<std::shared_ptr<Model>> {
    TITAN_ASSIGN_OR_RETURN(DitConfig config, resolve_dit_config(job, data));
    return std::shared_ptr<Model>(
        std::make_shared<Dit>(config, at::TensorOptions().device(device)));
  };
  spec.flops = [](const JobConfig& job, const DataShape& data) -> StatusOr<ModelFlops> {
    TITAN_ASSIGN_OR_RETURN(DitConfig config, resolve_dit_config(job, data));
    return model_flops(dit_flops(config, data.image[1], data.image[2]));
  };
  return register_model(std::move(spec));
}

}  // namespace titan::models
