// remote_tars.h: tars on servers, read through the cache of shards.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/base/thread_pool.h"
#include "titan/io/remote/shard_cache.h"
#include "titan/io/remote/shard_list.h"
#include "titan/io/tar_index.h"

namespace titan {

struct DatasetSection;

/// A tar that can be read as long as this lives.
struct OpenTar {
  std::shared_ptr<const TarIndex> index;
  std::shared_ptr<const FileDescriptor> file;  ///< of index->data_path()
};

class RemoteTars {
 public:
  /// Nothing is fetched yet. Settings: dataset.cache_dir, cache_gib, remote_deadline_s.
  static StatusOr<std::unique_ptr<RemoteTars>> create(const DatasetSection& settings,
                                                      std::vector<ListedShard> shards);
  ~RemoteTars();

  /// Makes size and sample count of every tar known: from index.json beside them, from an earlier
  /// run's notes, else by fetching the tar once, several at a time, with a line of progress every
  /// few seconds.
  Status learn_counts();

  std::size_t size() const { return shards_.size(); }
  const ListedShard& shard(std::size_t tar) const { return shards_[tar]; }
  std::uint64_t total_bytes() const;
  const HttpOptions& http() const { return cache_->options().http; }

  /// Fetches the tar if it is not in the cache; it stays there as long as the result lives. Errors:
  /// ShardCache::acquire's; kFailedPrecondition where the tar holds another number of samples than
  /// index.json says. Reading tars one after the other fetches the next one ahead. Thread-safe.
  StatusOr<OpenTar> open(std::size_t tar);

 private:
  struct Held;
  explicit RemoteTars(std::vector<ListedShard> shards) : shards_(std::move(shards)) {}

  RemoteShard address(std::size_t tar) const {
    return {.url = shards_[tar].location, .file = shards_[tar].file};
  }
  Status learn_size(std::size_t tar);
  Status learn_count(std::size_t tar, const DownloadProgress& progress);
  StatusOr<std::shared_ptr<const Held>> fetch(std::size_t tar, const DownloadProgress& progress);
  void keep(std::size_t tar, const std::shared_ptr<const Held>& held);
  std::shared_ptr<const Held> kept(std::size_t tar);
  void fetch_ahead(std::size_t tar);

  std::vector<ListedShard> shards_;
  std::unique_ptr<ShardCache> cache_;
  std::uint64_t idle_limit_bytes_ = 0;  ///< of tars kept open between reads
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::list<std::pair<std::size_t, std::shared_ptr<const Held>>> recent_;  ///< last used first
  std::set<std::size_t> ahead_;           ///< tars that were fetched ahead, or are being
  std::unique_ptr<ThreadPool> fetching_;  ///< last member: ends before what its tasks use
};

}  // namespace titan
