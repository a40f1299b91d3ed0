// shard_room.h: how full a shard cache is. Called while its lock is held (shard_cache.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct CachedShard {
  std::string id;
  std::uint64_t bytes = 0;   ///< on the disk, or reserved for a running download
  std::int64_t used_at = 0;  ///< last use, in nanoseconds
};

/// What lies in `<cache>/data`, the longest unused first.
std::vector<CachedShard> cached_shards(const std::string& cache);

/// Makes the shard's folder and counts it as `bytes` from now on.
Status reserve(const std::string& cache, const std::string& id, std::uint64_t bytes);

/// kResourceExhausted where the file system has less free than the shard still needs.
Status check_disk(const std::string& cache, const std::string& id, std::uint64_t bytes);

}  // namespace titan
