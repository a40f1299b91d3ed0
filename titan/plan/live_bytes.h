// plan: what a job will need before it has it: memory, time, and which layout fits. Walks the same
// arithmetic as the engine and the model's own operations on shapes alone; needs no device.
//
// live_bytes.h: a count that goes up and down, and the largest it has been. No torch.
#pragma once

#include <algorithm>
#include <cstdint>

namespace titan::plan {

struct LiveBytes {
  int64_t now = 0;
  int64_t peak = 0;

  void add(int64_t bytes) {
    now += bytes;
    peak = std::max(peak, now);
  }
  void subtract(int64_t bytes) { now -= bytes; }
};

}  // namespace titan::plan
