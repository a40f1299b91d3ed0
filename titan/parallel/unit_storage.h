// unit_storage.h: the memory behind the parameters of one unit, which can be taken away and given
// back. Leaves and whatever autograd saved of them see the new memory.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Storage.h>

#include "titan/parallel/unit_layout.h"

namespace titan::parallel {

/// The leaves become views of one storage that has no memory at first; using one then throws. They
/// keep their identity, requires_grad and version counters, also those that were built on the
/// device meta. Writing the memory through other tensors does not count as a change of the leaves,
/// so nothing may be written between a unit's forward and its backward.
class UnitStorage {
 public:
  /// `leaves` in the order of layout.parameters.
  UnitStorage(const UnitLayout& layout, const std::vector<at::Tensor>& leaves, at::ScalarType dtype,
              at::Device device);

  /// The leaves view `memory` (1-D, of this dtype and device, at least layout.length elements),
  /// which must outlive their use.
  void point_at(const at::Tensor& memory);
  /// Tells whoever derives something from the leaves' values, by their version counters, that these
  /// are others now. Not while a graph of the unit is alive.
  void contents_changed();
  /// Takes the memory away.
  void clear();
  bool has_memory() const { return has_memory_; }

  at::ScalarType dtype() const { return dtype_; }
  int64_t bytes() const { return bytes_; }

 private:
  c10::Storage storage_;
  std::vector<c10::VariableVersion> versions_;  ///< of the leaves
  at::ScalarType dtype_;
  at::Device device_;
  int64_t bytes_;
  bool has_memory_ = false;
};

}  // namespace titan::parallel
