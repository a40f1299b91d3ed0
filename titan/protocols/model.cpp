#include "titan/protocols/model.h"

#include <algorithm>
#include <unordered_map>

#include "titan/base/check.h"

namespace titan {
namespace {

/// Parameter identity -> unit number of the block that registered it.
std::unordered_map<const c10::TensorImpl*, std::size_t> block_parameters(const Model& model) {
  std::unordered_map<const c10::TensorImpl*, std::size_t> owner;
  const std::vector<std::shared_ptr<Block>> blocks = model.blocks();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (const at::Tensor& parameter : blocks[i]->parameters()) {
      const bool is_new = owner.emplace(parameter.unsafeGetTensorImpl(), i + 1).second;
      TITAN_CHECK(is_new, "[model] block ", i, " shares a parameter with another block");
    }
  }
  return owner;
}

}  // namespace

void Model::initialize(std::uint64_t seed) {
  for (const auto& entry : named_parameters())
    initialize_parameter(seed, entry.key(), entry.value());
}

std::vector<ModelUnit> split_into_units(const Model& model) {
  const auto owner = block_parameters(model);
  const std::size_t num_blocks = model.blocks().size();
  std::vector<ModelUnit> units(num_blocks + 2);
  units.front().name = "embed";
  units.back().name = "head";
  for (std::size_t i = 0; i < num_blocks; ++i) units[i + 1].name = str_cat("block.", i);

  std::vector<std::string> head_names = model.head_parameters();
  std::size_t in_blocks = 0;
  for (const auto& item : model.named_parameters()) {
    const auto found = owner.find(item.value().unsafeGetTensorImpl());
    std::size_t unit = 0;
    if (found != owner.end()) {
      unit = found->second;
      ++in_blocks;
    } else if (const auto head = std::find(head_names.begin(), head_names.end(), item.key());
               head != head_names.end()) {
      unit = num_blocks + 1;
      head_names.erase(head);
    }
    units[unit].parameter_names.push_back(item.key());
    units[unit].parameters.push_back(item.value());
  }
  TITAN_CHECK(head_names.empty(), "[model] head_parameters names \"",
              head_names.empty() ? "" : head_names.front(),
              "\", which is no parameter outside the blocks");
  TITAN_CHECK(in_blocks == owner.size(), "[model] ", owner.size() - in_blocks,
              " parameters of blocks are not registered in the model");
  return units;
}

}  // namespace titan
