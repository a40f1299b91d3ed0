// spec.h: the DiT's row in the table of models.
#pragma once

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/models/dit/config.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

/// Registers the model "dit".
Status register_dit();

/// The flavor's settings under [model.args], channels and classes from the data where unset,
/// validated for its size.
StatusOr<DitConfig> resolve_dit_config(const JobConfig& job, const DataShape& data);

}  // namespace titan::models
