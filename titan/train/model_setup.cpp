#include "titan/train/model_setup.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include "titan/models/converters/float8.h"
#include "titan/models/objectives/registry.h"
#include "titan/models/samplers/registry.h"
#include "titan/parallel/device_services.h"

namespace titan {
namespace {

using BuildModel = decltype(ModelSpec::build);

/// The planner, the trainer and the samplers all build through the spec, so models are converted
/// here and nowhere else.
BuildModel converted(BuildModel build) {
  return [build = std::move(build), said = std::make_shared<bool>(false)](
             const JobConfig& job, const DataShape& shape,
             at::Device device) -> StatusOr<std::shared_ptr<Model>> {
    TITAN_ASSIGN_OR_RETURN(std::shared_ptr<Model> model, build(job, shape, device));
    TITAN_RETURN_IF_ERROR(models::apply_converters(*model, job, /*say=*/!*said));
    *said = true;
    return model;
  };
}

}  // namespace

std::string to_string(const DataShape& shape) {
  std::string sizes;
  for (const int64_t size : shape.image) sizes += str_cat(sizes.empty() ? "" : "x", size);
  return str_cat(sizes, ", ", shape.num_classes, " classes");
}

StatusOr<ModelSpec> complete_spec(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(const ModelSpec* registered, find_model(config.model.name));
  ModelSpec spec = *registered;
  spec.build = converted(std::move(spec.build));
  if (!spec.dataset) spec.dataset = open_dataset;
  if (!spec.objective) {
    spec.objective = [](const JobConfig& job, const DataShape& shape, std::uint64_t seed,
                        const BatchEncoder*) { return make_objective(job, shape, seed); };
  }
  if (!spec.encoder) {
    spec.encoder = [](const JobConfig&,
                      const EncoderPlacement&) -> StatusOr<std::shared_ptr<BatchEncoder>> {
      return std::shared_ptr<BatchEncoder>();
    };
  }
  if (!spec.sampler) spec.sampler = make_sampler;
  if (!spec.weight_formats) spec.weight_formats = own_names_only();
  if (!spec.condition) {
    spec.condition = [](const std::vector<int64_t>& classes, const DataShape&) {
      Conditioning condition;
      condition.set("label", at::tensor(classes, at::kLong));
      return condition;
    };
  }
  return spec;
}

Status check_converters(const JobConfig& config, c10::Device device) {
  const std::vector<std::string>& names = config.model.converters;
  const bool float8 = std::find(names.begin(), names.end(), "float8") != names.end();
  if (!float8 || config.float8.emulate) return ok_status();
  constexpr const char* kWayOut =
      "; model.converters=[] computes without, float8.emulate=true rounds to 8 bits and multiplies "
      "in float32 (slow: to test convergence)";
  if (!device.is_cuda())
    return invalid_argument("[float8] the device ", device.str(),
                            " has no products in 8-bit floating point", kWayOut);
  const parallel::DeviceServices* services = parallel::device_services();
  const int capability = services != nullptr ? services->compute_capability(device.index()) : 0;
  constexpr int kLeast = 89;  // Ada; Hopper is 90
  if (capability >= kLeast) return ok_status();
  return invalid_argument("[float8] products in 8-bit floating point need compute capability 8.9 (",
                          services != nullptr ? services->name(device.index()) : device.str(),
                          " has ", capability / 10, ".", capability % 10, ")", kWayOut);
}

Status place_buffers(Model& model, c10::Device device) {
  for (auto& entry : model.named_buffers()) {
    if (entry.value().is_meta()) {
      return invalid_argument("[model] the buffer \"", entry.key(),
                              "\" has no values: a model makes its buffers on the CPU, whatever "
                              "device its parameters are asked for");
    }
    entry.value().set_data(entry.value().to(device));
  }
  return ok_status();
}

}  // namespace titan
