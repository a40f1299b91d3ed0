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
  at::Tensor remainder = {};  ///< int16: with `flat`, pairs that are stored as float32

  /// Of what is stored.
  at::ScalarType dtype() const { return values().dtype(); }
  parallel::FlatValues values() const { return {flat, remainder}; }
  parallel::FlatValues part(const parallel::Fragment& fragment) const {
    return parallel::fragment_view(values(), fragment);
  }
  std::string key(const parallel::Fragment& fragment) const { return prefix + "." + fragment.name; }
};

/// A whole tensor as an item of its own; the tensor is contiguous and is what a loader fills.
CheckpointItem whole_item(std::string prefix, std::string name, const at::Tensor& tensor);

/// The weights, one item per unit.
std::vector<CheckpointItem> weight_items(const std::string& prefix,
                                         const std::vector<parallel::FlatUnit>& units);
/// The same for buffers kept elsewhere, one per unit, in order.
std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     const std::vector<at::Tensor>& buffers);

}  // namespace titan::checkpoint
