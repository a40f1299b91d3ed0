// network_units.h: the parameters of a frozen network as units. Private to this folder.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "titan/models/layers/linear.h"
#include "titan/protocols/model.h"

namespace titan::models {

/// A unit and how the names of its parameters begin.
struct UnitNames {
  std::string unit;
  std::string prefix;
};

/// The module's parameters in these units; throws titan::Error unless each is in exactly one.
std::vector<ModelUnit> units_by_name(const torch::nn::Module& module,
                                     const std::vector<UnitNames>& names);

/// No parameter of the module has a gradient from now on.
void freeze(torch::nn::Module& module);

/// A new module that only holds others, registered as `name`.
std::shared_ptr<Container> add_container(torch::nn::Module& parent, const std::string& name);

}  // namespace titan::models
