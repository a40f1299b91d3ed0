// init.h: the initial value of each parameter of the DiT, by its name.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "titan/models/dit/config.h"

namespace titan::models {

/// Fills one parameter; throws titan::Error for a name without a rule, so no parameter can stay as
/// allocated.
void initialize_parameter(const DitConfig& config, std::uint64_t seed, const std::string& name,
                          const at::Tensor& parameter);

}  // namespace titan::models
