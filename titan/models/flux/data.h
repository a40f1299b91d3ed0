// data.h: what of the data is Flux's own: which data sets it can train on, and the encoding of the
// empty prompt.
#pragma once

#include <memory>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset.h"
#include "titan/models/flux/objective.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

/// open_dataset, but a data set of images is refused with a message that says where preprocessed
/// samples come from: the encoders that images would need are not built.
StatusOr<std::unique_ptr<Dataset>> open_flux_dataset(const JobConfig& config);

/// The encodings of the empty prompt in encoder.empty_encodings_path, checked against the data's
/// sizes; zeros where the data are synthetic and no path is set. The error says how to get them.
StatusOr<TextEncoding> empty_text(const JobConfig& config, const DataShape& shape);

}  // namespace titan::models
