#include "titan/parallel/slot_memory.h"

#include <ATen/ops/empty.h>

namespace titan::parallel {

std::size_t SlotMemory::acquire(int64_t elements, at::ScalarType dtype) {
  const std::size_t slot = table_.acquire(elements * static_cast<int64_t>(c10::elementSize(dtype)));
  if (slot == memory_.size()) {
    memory_.push_back(
        at::empty({table_.sizes()[slot]}, at::TensorOptions().dtype(at::kByte).device(device_)));
  }
  return slot;
}

at::Tensor SlotMemory::view(std::size_t slot, int64_t elements, at::ScalarType dtype) const {
  const int64_t bytes = elements * static_cast<int64_t>(c10::elementSize(dtype));
  return memory_[slot].narrow(0, 0, bytes).view(dtype);
}

}  // namespace titan::parallel
