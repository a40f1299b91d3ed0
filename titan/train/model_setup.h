// model_setup.h: from a config and a data set to a model with its objective, as training and `titan
// sample` need it.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/protocols/model_spec.h"

namespace titan {

/// Shape and classes of a data set: those of its first readable sample (of the first 100). An error
/// names the first problem.
StatusOr<DataShape> shape_of(const Dataset& dataset, std::uint64_t seed);

/// What the objective meets of a data set: its samples, or what the job's encoder makes of them.
struct DataView {
  DataShape shape;
  std::vector<FieldLayout> fields;  ///< of one sample
  /// The job's encoder on the device meta, null where it has none.
  std::shared_ptr<const BatchEncoder> encoder;
  bool encoded = false;  ///< whether it makes something of these samples
};
StatusOr<DataView> view_of(const Dataset& dataset, const JobConfig& config, const ModelSpec& spec);

/// "3x32x32, 10 classes".
std::string to_string(const DataShape& shape);

/// The model's spec with every default filled in: objective, sampler, data set, condition, names.
StatusOr<ModelSpec> complete_spec(const JobConfig& config);

/// Moves the model's buffers (tensors that are no parameters) to the device. Buffers of the device
/// meta have no values: an error names the first.
Status place_buffers(Model& model, c10::Device device);

}  // namespace titan
