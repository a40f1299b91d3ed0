// shard_cache.h: a folder of shards fetched from servers, of a limited size, shared by processes.
//
//   lock                         held while room is counted and made
//   locks/<id>.use, <id>.fetch   who reads a shard, who downloads it; <id>.use's time is the last
//                                use
//   data/<id>/NAME               the shard; NAME.part (+ .json) while it is downloaded
//   notes/<id>                   a word about the shard that outlives it
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "titan/base/status.h"
#include "titan/io/remote/file_lock.h"
#include "titan/io/remote/http.h"
#include "titan/io/remote/remote_shard.h"

namespace titan {

struct ShardCacheOptions {
  std::string folder;
  std::uint64_t limit_bytes = 0;
  HttpOptions http = {};  ///< its deadline also bounds the wait for other processes and for room
  /// Called where the cache is full of shards in use: the owner drops the leases it can spare.
  std::function<void()> spare = {};
};

/// A shard on the local disk that nobody removes while the lease lives.
class ShardLease {
 public:
  const std::string& path() const { return path_; }

 private:
  friend class ShardCache;
  ShardLease(std::string path, FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  FileLock lock_;
};

class ShardCache {
 public:
  /// Makes the folder.
  static StatusOr<ShardCache> open(ShardCacheOptions options);

  /// The shard, downloaded if it is not here: by one process, while the others wait. A download
  /// that was cut off (kill -9, a dead server) goes on where it stopped. The shards used longest
  /// ago make room. Errors: those of http_download; kFailedPrecondition where its digests differ
  /// (after a second download); kDataLoss where it does not unpack; kResourceExhausted where the
  /// disk is full, the shard is larger than the cache, or everything in it stays in use until the
  /// deadline; kUnavailable where another process is still at it then. Thread-safe.
  StatusOr<ShardLease> acquire(const RemoteShard& shard,
                               const DownloadProgress& progress = {}) const;
  /// True where acquire() needs no server.
  bool holds(const RemoteShard& shard) const;

  /// A short text kept about a shard, also after the shard itself made room; empty if none.
  std::string note(const RemoteShard& shard) const;
  Status set_note(const RemoteShard& shard, const std::string& text) const;

  const ShardCacheOptions& options() const { return options_; }

 private:
  explicit ShardCache(ShardCacheOptions options) : options_(std::move(options)) {}

  Status fetch(const RemoteShard& shard, const std::string& id,
               const DownloadProgress& progress) const;
  Status make_room(const RemoteShard& shard, const std::string& id) const;
  StatusOr<std::uint64_t> bytes_short(const std::string& id, std::uint64_t needed) const;

  ShardCacheOptions options_;
};

}  // namespace titan
