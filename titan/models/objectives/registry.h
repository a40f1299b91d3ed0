// registry.h: the objective that a config names; what a ModelSpec uses unless it brings its own.
#pragma once

#include <cstdint>
#include <memory>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/models/objectives/ddpm.h"
#include "titan/models/objectives/rectified_flow.h"
#include "titan/protocols/model_spec.h"
#include "titan/protocols/objective.h"

namespace titan {

/// The objective of config.objective, its draws keyed by `seed`. The null class is
/// shape.num_classes. Errors: an unknown name, a mode_scale that leaves [0, 1].
StatusOr<std::unique_ptr<Objective>> make_objective(const JobConfig& config, const DataShape& shape,
                                                    std::uint64_t seed);

namespace objectives {
/// The settings of [objective] as options; errors as make_objective.
StatusOr<RectifiedFlowOptions> rectified_flow_options(const ObjectiveSection& section);
StatusOr<DdpmOptions> ddpm_options(const ObjectiveSection& section);
}  // namespace objectives

}  // namespace titan
