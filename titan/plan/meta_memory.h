// meta_memory.h: counts what tensors of the device meta would take. Such tensors have shapes and no
// memory, but their storages still ask an allocator; here it keeps count. A model's forward and
// backward can so be measured at any size, to the byte, without memory and without arithmetic.
#pragma once

#include "titan/plan/live_bytes.h"

namespace titan::plan {

/// While alive, meta storages made in this process count in `live`, and leave it when they die,
/// even later (`live` then no longer hears of it). One at a time; throws titan::Error otherwise.
class MetaMemory {
 public:
  explicit MetaMemory(LiveBytes& live);
  ~MetaMemory();
  MetaMemory(const MetaMemory&) = delete;
  MetaMemory& operator=(const MetaMemory&) = delete;
};

}  // namespace titan::plan
