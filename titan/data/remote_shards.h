// remote_shards.h: the shards of a data set on servers, whatever their format: fetched through the
// cache when they are read, or ahead of it, and kept open between reads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/base/thread_pool.h"
#include "titan/io/remote/shard_cache.h"

namespace titan {

struct DatasetSection;

/// A shard in use: formats add what they have read of it. It stays on the disk as long as this
/// lives.
struct HeldShard {
  explicit HeldShard(ShardLease shard) : lease(std::move(shard)) {}
  virtual ~HeldShard() = default;

  ShardLease lease;
  std::uint64_t size_bytes = 0;  ///< on the disk
};

class RemoteShards {
 public:
  /// Opens a shard that lies on the disk. Errors name no address: the caller adds it.
  using Opener =
      std::function<StatusOr<std::shared_ptr<const HeldShard>>(std::size_t shard, ShardLease)>;

  /// Nothing is fetched yet. Settings: dataset.cache_dir, cache_gib, remote_deadline_s.
  static StatusOr<std::unique_ptr<RemoteShards>> create(const DatasetSection& settings,
                                                        std::vector<RemoteShard> shards,
                                                        Opener opener);
  ~RemoteShards();

  std::size_t size() const { return shards_.size(); }
  const RemoteShard& at(std::size_t shard) const { return shards_[shard]; }
  /// Of all shards in the cache, as far as known.
  std::uint64_t total_bytes() const;
  const HttpOptions& http() const { return cache_->options().http; }
  const ShardCache& cache() const { return *cache_; }
  /// Warns where the cache cannot hold them all though `shuffle` reads all of them all the time.
  void warn_of_thrashing(bool shuffle) const;

  /// Asks the server for size and version where they are not known. For different shards from
  /// different threads; before the first open().
  Status learn_size(std::size_t shard);

  /// Fetches and opens the shard, without keeping it open. Errors: ShardCache::acquire's and the
  /// opener's, with the address. Thread-safe.
  StatusOr<std::shared_ptr<const HeldShard>> fetch(std::size_t shard,
                                                   const DownloadProgress& progress);
  /// The shard, fetched if it is not here; the ones used last are kept open. One that cannot be
  /// opened (kDataLoss, kInvalidArgument) is not tried again. Thread-safe.
  StatusOr<std::shared_ptr<const HeldShard>> open(std::size_t shard);

  /// Shards that are read next, in this order: they are fetched ahead, several at a time, as far as
  /// a share of the cache holds them unread. Replaces what was said before; until then, reading
  /// shards one after the other fetches the next one ahead. Thread-safe.
  void expect(const std::vector<std::size_t>& shards);

 private:
  RemoteShards(std::vector<RemoteShard> shards, Opener opener)
      : shards_(std::move(shards)), opener_(std::move(opener)) {}

  StatusOr<std::shared_ptr<const HeldShard>> kept(std::size_t shard);
  void keep(std::size_t shard, const std::shared_ptr<const HeldShard>& held);
  // These three while mutex_ is held.
  bool is_open(std::size_t shard) const;
  void opened(std::size_t shard);
  void fetch_planned();

  std::vector<RemoteShard> shards_;
  Opener opener_;
  std::unique_ptr<ShardCache> cache_;
  std::uint64_t idle_limit_bytes_ = 0;  ///< of shards kept open between reads; of those unread
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::list<std::pair<std::size_t, std::shared_ptr<const HeldShard>>> recent_;  ///< last used first
  std::map<std::size_t, Status> damaged_;
  bool told_ = false;                     ///< somebody says what is read next
  std::list<std::size_t> planned_;        ///< to be fetched ahead, in this order
  std::set<std::size_t> ahead_;           ///< fetched ahead, or being, and not read yet
  std::size_t fetches_ = 0;               ///< running in the pool
  std::unique_ptr<ThreadPool> fetching_;  ///< last member: ends before what its tasks use
};

}  // namespace titan
