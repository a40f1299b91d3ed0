#include "titan/io/remote/shard_cache.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "titan/base/hash.h"
#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/remote/shard_part.h"
#include "titan/io/remote/shard_room.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

Status exhausted(const std::string& text) { return {absl::StatusCode::kResourceExhausted, text}; }

std::string id_of(const RemoteShard& shard) {
  std::string text = str_cat(shard.url, "\n", shard.file.version(), "\n",
                             shard.file.size_bytes ? str_cat(*shard.file.size_bytes) : "?");
  for (const FileDigest& digest : shard.digests)
    text += str_cat("\n", digest.algorithm, ":", digest.hex);
  if (shard.unpacked_bytes) text += str_cat("\nunpacked ", *shard.unpacked_bytes);
  return xxh3_128_hex(text.data(), text.size());
}

/// The name that messages and the tar's index show; never a way out of the folder.
std::string file_name(const RemoteShard& shard) {
  std::string name = url_basename(shard.url);
  for (const char* ending : {".zstd", ".zst"})
    if (shard.unpacked_bytes && name.ends_with(ending))
      name.resize(name.size() - std::string(ending).size());
  const bool usable = !name.empty() && name.size() <= 200 && name.front() != '.';
  return usable ? name : "shard";
}

std::string place(const ShardCacheOptions& options, const std::string& id,
                  const RemoteShard& shard) {
  return str_cat(options.folder, "/data/", id, "/", file_name(shard));
}

std::string lock_path(const ShardCacheOptions& options, const std::string& id, const char* kind) {
  return str_cat(options.folder, "/locks/", id, kind);
}

bool is_whole(const std::string& path, const RemoteShard& shard) {
  const StatusOr<FileStamp> stamp = file_stamp(path);
  const std::optional<std::uint64_t> bytes = shard.kept_bytes();
  return stamp.ok() && (!bytes || *bytes == stamp->size_bytes);
}

/// Tries `attempt` (true = done) every `pause` until the deadline; false where it passed.
template <class Attempt>
StatusOr<bool> poll(const HttpOptions& http, std::chrono::milliseconds pause, Attempt attempt) {
  const auto end = Clock::now() + std::chrono::duration<double>(http.deadline_s);
  for (;;) {
    TITAN_ASSIGN_OR_RETURN(const bool done, attempt());
    if (done) return true;
    if (Clock::now() + pause > end) return false;
    if (http.cancelled != nullptr && http.cancelled->load())
      return Status(absl::StatusCode::kCancelled, "[shards] cancelled");
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

StatusOr<ShardCache> ShardCache::open(ShardCacheOptions options) {
  for (const char* name : {"", "data", "locks", "notes"}) {
    std::error_code error;
    const fs::path folder = fs::path(options.folder) / name;
    fs::create_directories(folder, error);
    if (error) return errno_status(error.value(), "make the cache folder", folder.string());
  }
  return ShardCache(std::move(options));
}

StatusOr<ShardLease> ShardCache::acquire(const RemoteShard& shard,
                                         const DownloadProgress& progress) const {
  const std::string id = id_of(shard);
  const std::string path = place(options_, id, shard);
  // Held from here on, also during the download: who makes room passes this shard by.
  TITAN_ASSIGN_OR_RETURN(FileLock use,
                         FileLock::hold(lock_path(options_, id, ".use"), LockKind::kShared));
  use.touch();
  if (!is_whole(path, shard)) {
    // Short waits, for a shard that is being fetched ahead, are nothing to report.
    const auto tell_at = Clock::now() + std::chrono::seconds(5);
    bool told = false;
    std::optional<FileLock> fetching;
    const auto claim = [&]() -> StatusOr<bool> {
      TITAN_ASSIGN_OR_RETURN(
          fetching, FileLock::try_hold(lock_path(options_, id, ".fetch"), LockKind::kExclusive));
      if (!fetching && Clock::now() > tell_at && !std::exchange(told, true))
        TITAN_LOG(INFO) << "[shards] waiting for the download of " << shown_url(shard.url)
                        << " by another thread or process";
      return fetching.has_value();
    };
    TITAN_ASSIGN_OR_RETURN(const bool ours,
                           poll(options_.http, std::chrono::milliseconds(50), claim));
    if (!ours)
      return Status(
          absl::StatusCode::kUnavailable,
          str_cat("[shards] ", shown_url(shard.url),
                  " is still being downloaded by another process after ",
                  human_duration(options_.http.deadline_s), " (dataset.remote_deadline_s)"));
    if (!is_whole(path, shard)) TITAN_RETURN_IF_ERROR(fetch(shard, id, progress));
  }
  return ShardLease(path, std::move(use));
}

bool ShardCache::holds(const RemoteShard& shard) const {
  return is_whole(place(options_, id_of(shard), shard), shard);
}

Status ShardCache::fetch(const RemoteShard& shard, const std::string& id,
                         const DownloadProgress& progress) const {
  const std::string path = place(options_, id, shard);
  const std::string part = path + ".part";
  remove_leftovers(fs::path(path).parent_path().string());
  TITAN_RETURN_IF_ERROR(make_room(shard, id));
  HttpOptions http = options_.http;
  http.max_body_bytes = options_.limit_bytes;
  Status done = download_part(shard, http, part, progress);
  if (done.ok()) done = finish_part(shard, part, path);
  if (done.code() == absl::StatusCode::kResourceExhausted) {
    remove_part(part);
    return annotate(done, str_cat("[shards] the disk of the cache ", options_.folder,
                                  " is full (dataset.cache_dir, dataset.cache_gib)"));
  }
  TITAN_RETURN_IF_ERROR(done);
  if (!shard.unpacked_bytes) return ok_status();
  // The compressed file is gone: its room is free again.
  TITAN_ASSIGN_OR_RETURN(const FileLock all,
                         FileLock::hold(options_.folder + "/lock", LockKind::kExclusive));
  return reserve(options_.folder, id, *shard.unpacked_bytes);
}

/// Bytes by which the cache is too full for `needed` more; 0 = they are reserved for `id` now.
StatusOr<std::uint64_t> ShardCache::bytes_short(const std::string& id, std::uint64_t needed) const {
  TITAN_ASSIGN_OR_RETURN(const FileLock all,
                         FileLock::hold(options_.folder + "/lock", LockKind::kExclusive));
  std::vector<CachedShard> shards = cached_shards(options_.folder);
  std::uint64_t total = needed;
  for (const CachedShard& shard : shards)
    if (shard.id != id) total += shard.bytes;
  for (const CachedShard& shard : shards) {
    if (total <= options_.limit_bytes) break;
    if (shard.id == id) continue;
    TITAN_ASSIGN_OR_RETURN(
        const std::optional<FileLock> unused,
        FileLock::try_hold(lock_path(options_, shard.id, ".use"), LockKind::kExclusive));
    if (!unused) continue;
    std::error_code error;
    fs::remove_all(fs::path(options_.folder) / "data" / shard.id, error);
    if (error) return errno_status(error.value(), "remove from the cache", shard.id);
    total -= shard.bytes;
  }
  if (total > options_.limit_bytes) return total - options_.limit_bytes;
  TITAN_RETURN_IF_ERROR(reserve(options_.folder, id, needed));
  return 0;
}

Status ShardCache::make_room(const RemoteShard& shard, const std::string& id) const {
  // While it is unpacked, both lie there.
  const std::uint64_t needed = shard.file.size_bytes.value_or(0) + shard.unpacked_bytes.value_or(0);
  if (needed > options_.limit_bytes)
    return exhausted(str_cat("[shards] ", shown_url(shard.url),
                             shard.unpacked_bytes ? " takes, while it is unpacked, " : " has ",
                             human_bytes(static_cast<double>(needed)),
                             ", more than the whole cache (dataset.cache_gib: ",
                             human_bytes(static_cast<double>(options_.limit_bytes)), ")"));
  std::uint64_t lacking = 0;
  const auto clear = [&]() -> StatusOr<bool> {
    TITAN_ASSIGN_OR_RETURN(lacking, bytes_short(id, needed));
    if (lacking > 0 && options_.spare) options_.spare();
    return lacking == 0;
  };
  TITAN_ASSIGN_OR_RETURN(const bool made,
                         poll(options_.http, std::chrono::milliseconds(100), clear));
  if (!made)
    return exhausted(str_cat("[shards] no room for ", shown_url(shard.url), " (",
                             human_bytes(static_cast<double>(needed)),
                             "): everything in the cache ", options_.folder,
                             " is in use; raise dataset.cache_gib (now ",
                             human_bytes(static_cast<double>(options_.limit_bytes)), ")"));
  return check_disk(options_.folder, id, needed);
}

std::string ShardCache::note(const RemoteShard& shard) const {
  const StatusOr<std::string> text =
      read_file(str_cat(options_.folder, "/notes/", id_of(shard)), 4096);
  return text.ok() ? *text : "";
}

Status ShardCache::set_note(const RemoteShard& shard, const std::string& text) const {
  return write_file_atomically(str_cat(options_.folder, "/notes/", id_of(shard)), text);
}

}  // namespace titan
