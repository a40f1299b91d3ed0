// flux_testing.h: a Flux model, its inputs and its weights from a golden case. Include
// tests/support/catch.h first.
#pragma once

#include <map>
#include <string>

#include <torch/types.h>

#include "titan/models/flux/model.h"

#include "tests/support/fill.h"
#include "tests/support/golden.h"
#include "tests/support/modules.h"

namespace titan::testing {

/// The settings of a case: its "config", and the norms' eps from its "conditions".
models::FluxConfig flux_config(const nlohmann::json& json);

/// The number behind `name` in the text of a case's conditions ("QK RMSNorm eps 1e-6"); `missing`
/// where no condition has it.
double eps_of(const nlohmann::json& json, const std::string& name, double missing);

/// The weights of a case: "param.*", or filled from its list of parameters.
std::map<std::string, at::Tensor> flux_weights(const GoldenCase& golden);

/// |a - b| / |b| over all entries; infinite for other shapes or non-finite values.
double relative_norm(const at::Tensor& a, const at::Tensor& b);

/// What one forward and backward pass gave, in float32 and in the packed layout of the cases.
struct FluxResult {
  at::Tensor output, loss;
  std::map<std::string, at::Tensor> gradients;  ///< of parameters by name, of inputs as "input.img"
};

/// Runs the case's inputs through a model with `weights` in `dtype`; the loss is the mean square of
/// output - input.target.
FluxResult run_flux(const GoldenCase& golden, const std::map<std::string, at::Tensor>& weights,
                    at::ScalarType dtype);

}  // namespace titan::testing
