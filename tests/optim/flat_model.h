// flat_model.h: flat buffers without a model behind them, for tests of the optimizer.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>
#include <torch/utils.h>

#include "titan/parallel/flat_parameters.h"

namespace titan::testing {

/// Leaves of the given names and shapes, all in one unit per inner list, with values and gradients
/// drawn at random.
struct FlatModel {
  std::vector<ModelUnit> units;
  std::unique_ptr<parallel::FlatParameters> parameters;

  using Shapes = std::vector<std::vector<std::pair<std::string, std::vector<int64_t>>>>;

  explicit FlatModel(const Shapes& shapes, at::ScalarType compute_dtype = at::kFloat) {
    torch::manual_seed(1);
    for (const auto& unit_shapes : shapes) {
      ModelUnit unit{
          .name = "unit." + std::to_string(units.size()), .parameter_names = {}, .parameters = {}};
      for (const auto& [name, shape] : unit_shapes) {
        unit.parameter_names.push_back(name);
        unit.parameters.push_back(torch::randn(shape).requires_grad_());
      }
      units.push_back(std::move(unit));
    }
    parameters = std::make_unique<parallel::FlatParameters>(
        units, parallel::FlatParametersOptions{.compute_dtype = compute_dtype});
    draw_gradients(1.0);
  }

  std::vector<parallel::FlatUnit>& flat() { return parameters->units(); }

  void draw_gradients(double scale) {
    for (parallel::FlatUnit& unit : flat())
      for (const parallel::Fragment& fragment : unit.fragments)
        parallel::fragment_view(unit.grad, fragment).normal_(0, scale);
  }

  /// Copies of all values of one kind of buffer, parameter by parameter.
  std::vector<at::Tensor> values(at::Tensor parallel::FlatUnit::*buffer) {
    std::vector<at::Tensor> result;
    for (parallel::FlatUnit& unit : flat())
      for (const parallel::Fragment& fragment : unit.fragments)
        result.push_back(parallel::fragment_view(unit.*buffer, fragment).clone());
    return result;
  }
};

inline FlatModel::Shapes example_shapes() {
  return {{{"x_embedder.proj.weight", {7, 3}}, {"x_embedder.proj.bias", {7}}},
          {{"layers.0.wq.weight", {33, 5}},
           {"layers.0.norm.weight", {33}},
           {"layers.0.wo.weight", {5, 33}}},
          {},
          {{"output.bias", {1}}, {"output.weight", {300, 301}}}};
}

}  // namespace titan::testing
