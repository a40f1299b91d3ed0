// mds_folder.h: a folder of MosaicML's shards behind their index.json.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "titan/base/segments.h"
#include "titan/base/status.h"
#include "titan/io/mds_index.h"
#include "titan/io/mds_shard.h"

namespace titan {

/// Shards are opened when they are first read. A compressed one is unpacked once, into the cache
/// folder, unless its uncompressed file lies beside it. Thread-safe.
class MdsFolder {
 public:
  /// kNotFound for a missing index or shard, which the message names.
  static StatusOr<MdsFolder> open(const std::string& folder);

  const std::string& path() const { return path_; }
  int64_t num_samples() const { return samples_.total(); }
  const std::vector<MdsShardInfo>& shards() const { return shards_; }

  /// Shard and sample within it.
  Segments::Place find(int64_t index) const { return samples_.find(index); }
  /// kDataLoss for a damaged shard, at every call; other errors may pass.
  StatusOr<std::shared_ptr<const MdsShard>> shard(std::size_t i) const;

 private:
  struct Slot {
    std::mutex mutex;
    std::shared_ptr<const MdsShard> shard;
    Status damage;
  };
  StatusOr<MdsShard> open_shard(const MdsShardInfo& info) const;

  std::string path_;
  std::vector<MdsShardInfo> shards_;
  std::vector<std::unique_ptr<Slot>> slots_;
  Segments samples_;
};

}  // namespace titan
