#include "tests/support/catch.h"

#include <map>

#include "titan/models/flux/model.h"
#include "titan/models/flux/name_table.h"

namespace titan::models {
namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes shapes_of_model(const FluxConfig& config) {
  Shapes shapes;
  const Flux model(config, at::TensorOptions().device(at::kMeta));
  for (const auto& item : model.named_parameters()) shapes[item.key()] = item.value().sizes().vec();
  return shapes;
}

/// What the published names say.
Shapes shapes_of_table(const FluxConfig& config) {
  const FluxSizes sizes = {{'h', config.hidden_size}, {'m', config.mlp_hidden()},
                           {'d', config.head_dim()},  {'i', config.in_channels},
                           {'o', config.outputs()},   {'c', config.context_in_dim},
                           {'v', config.vec_in_dim}};
  Shapes shapes;
  for (const FluxTensor& tensor : flux_tensors(
           {config.depth, config.depth_single_blocks, config.guidance_embed, config.qkv_bias})) {
    std::vector<int64_t>& shape = shapes[tensor.name];
    shape.push_back(evaluate_size(tensor.rows, sizes));
    if (!tensor.columns.empty()) shape.push_back(evaluate_size(tensor.columns, sizes));
  }
  return shapes;
}

TEST_CASE("The model's parameters have the published names and shapes", "[flux]") {
  for (const std::string& flavor : flux_flavors()) {
    INFO(flavor);
    const auto config = flux_flavor(flavor);
    REQUIRE(config.ok());
    CHECK(shapes_of_model(*config) == shapes_of_table(*config));
  }
  FluxConfig odd;
  odd.in_channels = 16;
  odd.out_channels = 12;
  odd.vec_in_dim = 5;
  odd.context_in_dim = 9;
  odd.hidden_size = 48;
  odd.mlp_ratio = 2.5;
  odd.num_heads = 3;
  odd.axes_dim = {4, 6, 6};
  odd.depth = 1;
  odd.depth_single_blocks = 2;
  odd.qkv_bias = false;
  odd.guidance_embed = true;
  CHECK(shapes_of_model(odd) == shapes_of_table(odd));
}

}  // namespace
}  // namespace titan::models
