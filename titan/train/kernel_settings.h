// kernel_settings.h: which implementations of the operators a job runs with.
#pragma once

#include <c10/core/DeviceType.h>

#include "titan/base/status.h"
#include "titan/config/job_config.h"

namespace titan {

/// Applies training.compile, kernels.backend and attention.backend to the process. Fused kernels
/// run where both training.compile is on and kernels.backend is "fused"; training.compile off is
/// said once. invalid_argument where attention.backend cannot be had on `device`.
Status choose_kernels(const JobConfig& config, c10::DeviceType device);

}  // namespace titan
