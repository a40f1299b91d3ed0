// slot_memory.h: memory for a SlotTable's slots. It is kept for the life of the object, so
// addresses repeat.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/parallel/slot_table.h"

namespace titan::parallel {

class SlotMemory {
 public:
  explicit SlotMemory(at::Device device) : device_(device) {}

  /// A slot of at least `elements` of `dtype`.
  std::size_t acquire(int64_t elements, at::ScalarType dtype);
  void release(std::size_t slot) { table_.release(slot); }
  /// The first `elements` of a slot, 1-D.
  at::Tensor view(std::size_t slot, int64_t elements, at::ScalarType dtype) const;
  int64_t total_bytes() const { return table_.total_bytes(); }

 private:
  at::Device device_;
  SlotTable table_;
  std::vector<at::Tensor> memory_;  ///< per slot, bytes
};

}  // namespace titan::parallel
