// empty_text.h: the encoding of the empty prompt, which stands for "no prompt".
#pragma once

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/models/flux/objective.h"
#include "titan/protocols/batch_encoder.h"
#include "titan/protocols/data_shape.h"

namespace titan::models {

/// From encoder.empty_encodings_path, checked against the data's sizes; without a path what
/// `encoder` (null = none) makes of ""; zeros where the data are synthetic. The error says how to
/// get them.
StatusOr<TextEncoding> empty_text(const JobConfig& config, const DataShape& shape,
                                  const BatchEncoder* encoder);

}  // namespace titan::models
