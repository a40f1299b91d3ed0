// checkpoint_item.h: what is saved and loaded: flat buffers and the fragments in them.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "titan/parallel/flat_parameters.h"

namespace titan::checkpoint {

/// A flat buffer with the fragments it holds; they are stored under the keys "<prefix>.<fragment
/// name>".
struct CheckpointItem {
  std::string prefix;  ///< "model", "ema", "optim.exp_avg", "optim.exp_avg_sq"
  at::Tensor flat;     ///< 1-D, any device
  std::vector<parallel::Fragment> fragments;

  std::string key(const parallel::Fragment& fragment) const { return prefix + "." + fragment.name; }
};

/// A whole tensor as an item of its own; the tensor is contiguous and is what a loader fills.
CheckpointItem whole_item(std::string prefix, std::string name, const at::Tensor& tensor);

/// One item per unit, e.g. items_of("model", parameters.units(), &FlatUnit::master).
std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     at::Tensor parallel::FlatUnit::*buffer);
/// The same for buffers kept elsewhere, one per unit, in order.
std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     const std::vector<at::Tensor>& buffers);

}  // namespace titan::checkpoint
