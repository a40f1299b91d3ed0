#include "titan/plan/data_view.h"

#include <algorithm>
#include <utility>

#include "titan/data/slot_reader.h"
#include "titan/parallel/engine.h"

namespace titan {
namespace {

/// One bad file must not hide what the others are like.
constexpr int64_t kTries = 100;

StatusOr<Sample> first_readable(const Dataset& dataset, std::uint64_t seed) {
  Status first = ok_status();
  const int64_t tries = std::min(dataset.size(), kTries);
  for (int64_t index = 0; index < tries; ++index) {
    StatusOr<Sample> sample = dataset.read(index, {.seed = seed, .epoch = 0});
    if (sample.ok()) return sample;
    // A server that is down or refuses is no matter of this sample: a hundred would take hours.
    if (!is_broken_sample(sample.status()))
      return Status(sample.status().code(),
                    str_cat("[data] cannot read ", named_problem(dataset, index, sample.status())));
    if (first.ok()) first = sample.status();
  }
  return data_loss("[data] none of the first ", tries,
                   " samples can be read; the first problem: ", message_of(first));
}

StatusOr<DataShape> shape_of(const Sample& sample, int64_t num_classes) {
  // Preprocessed latents come as a distribution: what is trained on has the shape of its mean.
  at::Tensor image = sample.fields.get("image");
  if (!image.defined()) image = sample.fields.get("mean");
  if (!image.defined() || image.dim() < 3) {
    return invalid_argument(
        "[data] samples of this data set have no \"image\" or \"mean\" of at least 3 dimensions");
  }
  DataShape shape{.image = image.sizes().vec(), .num_classes = num_classes, .fields = {}};
  for (const auto& [name, tensor] : sample.fields) shape.fields[name] = tensor.sizes().vec();
  return shape;
}

/// As batches carry them.
std::vector<FieldLayout> fields_of(const Dataset& dataset, const Sample& sample) {
  std::vector<FieldLayout> fields = dataset.layout();
  if (!fields.empty()) return fields;
  for (const auto& [name, tensor] : sample.fields)
    fields.push_back({name, tensor.sizes().vec(), tensor.scalar_type()});
  return fields;
}

/// What an encoder makes of `raw` has the dtype of its networks; integers pass it by.
std::vector<FieldLayout> encoded_fields(const std::vector<FieldLayout>& raw,
                                        const DataShape& encoded, at::ScalarType dtype) {
  std::vector<FieldLayout> fields;
  for (const auto& [name, sizes] : encoded.fields) {
    at::ScalarType type = dtype;
    for (const FieldLayout& before : raw)
      if (before.name == name && before.type == at::kLong) type = before.type;
    fields.push_back({name, sizes, type});
  }
  return fields;
}

}  // namespace

StatusOr<DataShape> shape_of(const Dataset& dataset, std::uint64_t seed) {
  TITAN_ASSIGN_OR_RETURN(const Sample sample, first_readable(dataset, seed));
  return shape_of(sample, dataset.num_classes());
}

StatusOr<DataView> view_of(const Dataset& dataset, const JobConfig& config, const ModelSpec& spec) {
  TITAN_ASSIGN_OR_RETURN(const Sample sample, first_readable(dataset, /*seed=*/0));
  DataView view;
  TITAN_ASSIGN_OR_RETURN(view.shape, shape_of(sample, dataset.num_classes()));
  view.fields = fields_of(dataset, sample);
  TITAN_ASSIGN_OR_RETURN(view.encoder, spec.encoder(config, {.device = at::kMeta}));
  if (!view.encoder) return view;
  TITAN_ASSIGN_OR_RETURN(DataShape encoded, view.encoder->encoded_shape(view.shape));
  view.encoded = encoded.fields != view.shape.fields;
  if (!view.encoded) return view;
  view.shape = std::move(encoded);
  view.fields = encoded_fields(view.fields, view.shape, parallel::compute_dtype(config));
  return view;
}

}  // namespace titan
