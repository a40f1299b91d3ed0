#include "titan/train/model_setup.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include "titan/models/objectives/registry.h"
#include "titan/models/samplers/registry.h"

namespace titan {

std::string to_string(const DataShape& shape) {
  std::string sizes;
  for (const int64_t size : shape.image) sizes += str_cat(sizes.empty() ? "" : "x", size);
  return str_cat(sizes, ", ", shape.num_classes, " classes");
}

StatusOr<ModelSpec> complete_spec(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(const ModelSpec* registered, find_model(config.model.name));
  ModelSpec spec = *registered;
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
