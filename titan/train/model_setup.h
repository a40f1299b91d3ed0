// model_setup.h: a registered model made ready for a job.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "titan/base/status.h"
#include "titan/protocols/model_spec.h"

namespace titan {

/// "3x32x32, 10 classes".
std::string to_string(const DataShape& shape);

/// The model's spec with every default filled in: objective, encoder, sampler, data set,
/// condition, names. Its models are converted as model.converters says; the first one built says
/// what was.
StatusOr<ModelSpec> complete_spec(const JobConfig& config);

/// Whether the device can do what model.converters asks for: products in 8 bits need compute
/// capability 8.9, or float8.emulate. The error names the setting.
Status check_converters(const JobConfig& config, c10::Device device);

/// Moves the model's buffers (tensors that are no parameters) to the device. Buffers of the device
/// meta have no values: an error names the first.
Status place_buffers(Model& model, c10::Device device);

}  // namespace titan
