// registry.h: the sampler that inverts the objective of a config; what a ModelSpec uses unless it
// brings its own.
#pragma once

#include <memory>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/protocols/sampler.h"

namespace titan {

/// Euler for rectified flow, DDIM for ddpm. Errors: an unknown name.
StatusOr<std::unique_ptr<Sampler>> make_sampler(const JobConfig& config);

}  // namespace titan
