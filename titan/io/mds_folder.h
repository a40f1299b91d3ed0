// mds_folder.h: the local files of MosaicML's shards.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/mds_index.h"
#include "titan/io/mds_shard.h"

namespace titan {

/// Shards are opened when they are first read. A compressed one is unpacked once, into the cache
/// folder, unless its uncompressed file lies beside it. Thread-safe.
class MdsFolder {
 public:
  /// `shards` as the folder's index.json lists them. kNotFound where the file of one is missing.
  static StatusOr<std::unique_ptr<MdsFolder>> open(const std::string& folder,
                                                   std::vector<MdsShardInfo> shards);

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
};

}  // namespace titan
