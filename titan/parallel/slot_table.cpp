#include "titan/parallel/slot_table.h"

#include <numeric>

#include "titan/base/check.h"

namespace titan::parallel {

std::size_t SlotTable::acquire(int64_t bytes) {
  std::size_t best = sizes_.size();
  for (std::size_t slot = 0; slot < sizes_.size(); ++slot) {
    if (in_use_[slot] || sizes_[slot] < bytes) continue;
    if (best == sizes_.size() || sizes_[slot] < sizes_[best]) best = slot;
  }
  if (best == sizes_.size()) {
    sizes_.push_back(bytes);
    in_use_.push_back(false);
  }
  in_use_[best] = true;
  return best;
}

void SlotTable::release(std::size_t slot) {
  TITAN_CHECK(slot < in_use_.size() && in_use_[slot], "[slots] slot ", slot, " is not in use");
  in_use_[slot] = false;
}

int64_t SlotTable::total_bytes() const {
  return std::accumulate(sizes_.begin(), sizes_.end(), int64_t{0});
}

}  // namespace titan::parallel
