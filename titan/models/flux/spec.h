// spec.h: the row of Flux in the table of models.
#pragma once

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/models/flux/config.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

/// Registers the model "flux".
Status register_flux();

/// The flavor's settings under [model.args], widths of the encodings from [encoder] where they are
/// not set there, validated against the data.
StatusOr<FluxConfig> resolve_flux_config(const JobConfig& job, const DataShape& data);

}  // namespace titan::models
