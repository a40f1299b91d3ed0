// init.h: the initial value of each parameter of the DiT, by its name.
#pragma once

#include <cstdint>
#include <string>

#include "titan/models/dit/config.h"
#include "titan/protocols/init.h"

namespace titan::models {

/// Fills a slice of a parameter; throws titan::Error for a name without a rule, so no parameter can
/// stay as allocated.
void initialize_parameter(const DitConfig& config, std::uint64_t seed, const std::string& name,
                          const init::Slice& parameter);

}  // namespace titan::models
