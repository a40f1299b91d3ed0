// modules.h: what tests of models share. Include tests/support/catch.h first.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "titan/base/check.h"
#include "titan/ops/backend.h"

namespace titan::testing {

/// Copies the tensors under their published names into the module; throws titan::Error where the
/// two sets of names differ.
inline void load_parameters(torch::nn::Module& module,
                            const std::map<std::string, at::Tensor>& values) {
  const torch::NoGradGuard no_grad;
  std::set<std::string> names;
  for (const auto& entry : module.named_parameters()) {
    names.insert(entry.key());
    const auto found = values.find(entry.key());
    TITAN_CHECK(found != values.end(), "the case has no parameter ", entry.key());
    TITAN_CHECK(found->second.sizes() == entry.value().sizes(), "shape of ", entry.key());
    entry.value().copy_(found->second);
  }
  for (const auto& [name, value] : values)
    TITAN_CHECK(names.count(name) == 1, "the module has no parameter ", name);
}

/// Both backends, by name.
inline const std::vector<std::pair<std::string, ops::Backend>>& backends() {
  static const std::vector<std::pair<std::string, ops::Backend>> both = {
      {"fused", ops::Backend::kFused}, {"reference", ops::Backend::kReference}};
  return both;
}

}  // namespace titan::testing
