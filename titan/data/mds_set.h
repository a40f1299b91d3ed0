// mds_set.h: the shards of an MDS data set, in a local folder or on a server, opened when they are
// read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/segments.h"
#include "titan/base/status.h"
#include "titan/data/remote_shards.h"
#include "titan/io/mds_folder.h"
#include "titan/io/mds_index.h"
#include "titan/io/mds_shard.h"

namespace titan {

struct JobConfig;

class MdsSet {
 public:
  /// What training.dataset_path names: a folder, or https://host/folder/, s3://bucket/prefix/ (the
  /// '/' and index.json behind it may be there or not). index.json is read, no shard is fetched. At
  /// least one sample. kNotFound for a missing index, and locally for a missing shard.
  static StatusOr<std::unique_ptr<MdsSet>> open(const JobConfig& config);

  const std::vector<MdsShardInfo>& shards() const { return shards_; }
  /// Samples of each shard.
  const Segments& samples() const { return samples_; }

  /// The shard, fetched and unpacked if need be; it stays on the disk as long as the result lives.
  /// kDataLoss for a damaged shard, at every call. Of shards on servers: RemoteShards::open's
  /// errors. Thread-safe.
  StatusOr<std::shared_ptr<const MdsShard>> open(std::size_t shard) const;
  /// Samples that are read next (RemoteShards::expect).
  void expect(const std::vector<int64_t>& indices) const;

 private:
  struct Held;
  Status open_local(const std::string& folder);
  Status open_remote(const std::string& text, const JobConfig& config);
  Status count(const std::string& index_name);

  std::vector<MdsShardInfo> shards_;
  Segments samples_;
  std::unique_ptr<MdsFolder> local_;      ///< nullptr: on a server
  std::unique_ptr<RemoteShards> remote_;  ///< last: its opener uses shards_
};

}  // namespace titan
