// remote_tars.h: tars on servers: their sample counts and, through the cache, their bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/remote_shards.h"
#include "titan/io/remote/shard_list.h"
#include "titan/io/tar_index.h"

namespace titan {

/// A tar that can be read as long as this lives.
struct OpenTar {
  std::shared_ptr<const TarIndex> index;
  std::shared_ptr<const FileDescriptor> file;  ///< of index->data_path()
};

class RemoteTars {
 public:
  /// Nothing is fetched yet (RemoteShards::create). All of `tars` lie on servers.
  static StatusOr<std::unique_ptr<RemoteTars>> create(const DatasetSection& settings,
                                                      const std::vector<ListedShard>& tars);

  /// Makes size and sample count of every tar known: from index.json beside them, from an earlier
  /// run's notes, else by fetching the tar once, several at a time, with a line of progress every
  /// few seconds.
  Status learn_counts();

  /// Sizes, addresses, the cache's settings.
  RemoteShards& shards() const { return *shards_; }
  int64_t num_samples(std::size_t tar) const { return counts_[tar].value_or(0); }

  /// Fetches the tar if it is not in the cache; it stays there as long as the result lives. Errors:
  /// RemoteShards::open's; kFailedPrecondition where the tar holds another number of samples than
  /// index.json says. Thread-safe.
  StatusOr<OpenTar> open(std::size_t tar);

 private:
  struct Held;
  RemoteTars() = default;

  StatusOr<std::shared_ptr<const HeldShard>> hold(std::size_t tar, ShardLease lease) const;
  Status learn_count(std::size_t tar, const DownloadProgress& progress);

  std::vector<std::optional<int64_t>> counts_;  ///< samples of each tar
  std::unique_ptr<RemoteShards> shards_;        ///< last: its opener uses the counts
};

}  // namespace titan
