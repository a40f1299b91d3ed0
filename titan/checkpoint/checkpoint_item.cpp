#include "titan/checkpoint/checkpoint_item.h"

#include <utility>

#include "titan/base/check.h"

namespace titan::checkpoint {

CheckpointItem whole_item(std::string prefix, std::string name, const at::Tensor& tensor) {
  return {.prefix = std::move(prefix),
          .flat = tensor.detach().view({-1}),
          .fragments = {{.name = std::move(name),
                         .shape = tensor.sizes().vec(),
                         .global_offset = 0,
                         .local_offset = 0,
                         .length = tensor.numel()}}};
}

std::vector<CheckpointItem> weight_items(const std::string& prefix,
                                         const std::vector<parallel::FlatUnit>& units) {
  std::vector<CheckpointItem> items;
  for (const parallel::FlatUnit& unit : units)
    items.push_back({prefix, unit.master, unit.fragments, unit.remainder});
  return items;
}

std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     const std::vector<at::Tensor>& buffers) {
  TITAN_CHECK(buffers.size() == units.size(), "[checkpoint] one buffer per unit (prefix=", prefix,
              ", buffers=", buffers.size(), ", units=", units.size(), ")");
  std::vector<CheckpointItem> items;
  for (std::size_t i = 0; i < units.size(); ++i) {
    // The optimizer keeps nothing for a unit that is frozen as a whole.
    const bool empty = buffers[i].numel() == 0;
    items.push_back(
        {prefix, buffers[i], empty ? std::vector<parallel::Fragment>() : units[i].fragments, {}});
  }
  return items;
}

}  // namespace titan::checkpoint
