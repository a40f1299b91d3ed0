// init.h: the initial value of each parameter of Flux, by its name.
#pragma once

#include <cstdint>
#include <string>

#include "titan/protocols/init.h"

namespace titan::models {

/// How a parameter starts.
enum class FluxInit {
  kZero,    ///< biases, modulations, the whole final layer: the model starts as the zero function
  kOne,     ///< scales of the query and key norms
  kNormal,  ///< N(0, 0.02): embedders of time, pooled text, guidance
  kXavier,  ///< Glorot uniform over the whole, fused matrix
};

/// The rule for a published name; throws titan::Error for a name without one, so no parameter can
/// stay as allocated.
FluxInit flux_init(const std::string& name);

/// Fills a slice of a parameter, a pure function of (seed, name).
void initialize_flux_parameter(std::uint64_t seed, const std::string& name,
                               const init::Slice& parameter);

}  // namespace titan::models
