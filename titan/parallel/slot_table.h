// slot_table.h: which piece of memory a unit gets while it is gathered. Only numbers: the engine
// attaches memory to slots, the planner adds up their sizes. The same requests get the same slots,
// so addresses repeat from step to step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace titan::parallel {

class SlotTable {
 public:
  /// The smallest free slot of at least `bytes`, or a new one of that size.
  std::size_t acquire(int64_t bytes);
  /// Throws titan::Error where the slot is not in use.
  void release(std::size_t slot);

  /// Bytes of each slot made so far; a slot keeps its size.
  const std::vector<int64_t>& sizes() const { return sizes_; }
  int64_t total_bytes() const;

 private:
  std::vector<int64_t> sizes_;
  std::vector<bool> in_use_;
};

}  // namespace titan::parallel
