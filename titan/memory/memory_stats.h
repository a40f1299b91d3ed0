// memory: where tensors' bytes come from, and exact figures about them. Includes base and (in
// sources) ATen; knows nothing of models or trainers.
//
// memory_stats.h: one set of figures for every device.
#pragma once

#include <cstdint>

namespace titan::memory {

/// Bytes unless said otherwise. "Active" counts what tensors asked for, "reserved" what backs them
/// and the cache.
struct MemoryStats {
  int64_t active = 0;
  int64_t peak_active = 0;  ///< largest `active` since the last reset
  int64_t reserved = 0;
  int64_t peak_reserved = 0;
  int64_t capacity = 0;           ///< memory of the device; 0 = unknown
  int64_t num_alloc_retries = 0;  ///< allocations that worked only after the cache was given back
  int64_t num_ooms = 0;           ///< allocations that failed
};

}  // namespace titan::memory
