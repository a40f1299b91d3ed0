#include "titan/train/model_setup.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "titan/models/objectives/registry.h"
#include "titan/models/samplers/registry.h"
#include "titan/plan/step_walk.h"
#include "titan/train/run_encoder.h"

namespace titan {

StatusOr<DataShape> shape_of(const Dataset& dataset, std::uint64_t seed) {
  Status first = ok_status();
  const int64_t tries = std::min<int64_t>(dataset.size(), 100);
  for (int64_t index = 0; index < tries; ++index) {
    const StatusOr<Sample> sample = dataset.read(index, {.seed = seed, .epoch = 0});
    if (!sample.ok()) {
      if (first.ok()) first = sample.status();
      continue;
    }
    // Preprocessed latents come as a distribution: what is trained on has the shape of its mean.
    at::Tensor image = sample->fields.get("image");
    if (!image.defined()) image = sample->fields.get("mean");
    if (!image.defined() || image.dim() < 3) {
      return invalid_argument(
          "[data] samples of this data set have no \"image\" or \"mean\" of at least 3 dimensions");
    }
    DataShape shape{
        .image = image.sizes().vec(), .num_classes = dataset.num_classes(), .fields = {}};
    for (const auto& [name, tensor] : sample->fields) shape.fields[name] = tensor.sizes().vec();
    return shape;
  }
  return data_loss("[data] none of the first ", tries,
                   " samples can be read; the first problem: ", message_of(first));
}

StatusOr<DataView> view_of(const Dataset& dataset, const JobConfig& config, const ModelSpec& spec) {
  DataView view;
  TITAN_ASSIGN_OR_RETURN(view.shape, shape_of(dataset, /*seed=*/0));
  TITAN_ASSIGN_OR_RETURN(view.fields, plan::sample_fields(dataset));
  TITAN_ASSIGN_OR_RETURN(view.encoder, make_encoder(spec, config, {.device = at::kMeta}));
  if (!view.encoder) return view;
  TITAN_ASSIGN_OR_RETURN(DataShape encoded, view.encoder->encoded_shape(view.shape));
  view.encoded = encoded.fields != view.shape.fields;
  if (!view.encoded) return view;
  view.shape = std::move(encoded);
  const bool half = config.training.mixed_precision_param == "bfloat16";
  view.fields = plan::encoded_fields(view.fields, view.shape, half ? at::kBFloat16 : at::kFloat);
  return view;
}

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
