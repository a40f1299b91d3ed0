#include "titan/models/encoders/network_units.h"

#include "titan/base/check.h"

namespace titan::models {

std::vector<ModelUnit> units_by_name(const torch::nn::Module& module,
                                     const std::vector<UnitNames>& names) {
  std::vector<ModelUnit> units;
  for (const UnitNames& name : names) units.emplace_back().name = name.unit;
  for (const auto& parameter : module.named_parameters()) {
    int owners = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (parameter.key().rfind(names[i].prefix, 0) != 0) continue;
      units[i].parameter_names.push_back(parameter.key());
      units[i].parameters.push_back(parameter.value());
      ++owners;
    }
    TITAN_CHECK(owners == 1, "[encoder] every parameter is in one unit (", parameter.key(),
                " is in ", owners, ")");
  }
  return units;
}

void freeze(torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) parameter.set_requires_grad(false);
}

std::shared_ptr<Container> add_container(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<Container>());
}

}  // namespace titan::models
