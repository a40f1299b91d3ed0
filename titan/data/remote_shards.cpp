#include "titan/data/remote_shards.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/base/rank_env.h"
#include "titan/config/job_config.h"
#include "titan/data/fetch_progress.h"
#include "titan/io/cache_folder.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

constexpr std::size_t kMaxOpen = 64;
/// At a time: they mostly wait for the server, and readers fetch beside them.
constexpr std::size_t kFetchesAhead = 4;

std::uint64_t bytes_of_gib(double gib) {
  return static_cast<std::uint64_t>(std::min(gib, 1e9) * 1024 * 1024 * 1024);
}

}  // namespace

StatusOr<std::unique_ptr<RemoteShards>> RemoteShards::create(const DatasetSection& settings,
                                                             std::vector<RemoteShard> shards,
                                                             Opener opener) {
  std::unique_ptr<RemoteShards> made(new RemoteShards(std::move(shards), std::move(opener)));
  ShardCacheOptions options;
  if (settings.cache_dir) {
    options.folder = *settings.cache_dir;
  } else {
    TITAN_ASSIGN_OR_RETURN(options.folder, cache_folder("shards"));
  }
  options.limit_bytes = bytes_of_gib(settings.cache_gib);
  options.http.deadline_s = settings.remote_deadline_s;
  options.http.cancelled = &made->stopping_;
  options.spare = [owner = made.get()] {
    const std::lock_guard<std::mutex> lock(owner->mutex_);
    owner->recent_.clear();
  };
  TITAN_ASSIGN_OR_RETURN(ShardCache cache, ShardCache::open(std::move(options)));
  made->cache_ = std::make_unique<ShardCache>(std::move(cache));
  // The ranks of a machine share the cache: together they keep at most a quarter of it from making
  // room for each other.
  const StatusOr<RankEnv> ranks = rank_env_from_environment();
  const auto sharing = static_cast<std::uint64_t>(ranks.ok() ? ranks->local_world_size : 1);
  made->idle_limit_bytes_ =
      made->cache_->options().limit_bytes / 4 / std::max<uint64_t>(1, sharing);
  made->fetching_ = std::make_unique<ThreadPool>(kFetchesAhead);
  return made;
}

RemoteShards::~RemoteShards() { stopping_ = true; }

std::uint64_t RemoteShards::total_bytes() const {
  std::uint64_t bytes = 0;
  for (const RemoteShard& shard : shards_) bytes += shard.kept_bytes().value_or(0);
  return bytes;
}

void RemoteShards::warn_of_thrashing(bool shuffle) const {
  const std::uint64_t limit = cache_->options().limit_bytes;
  if (!shuffle || total_bytes() <= limit) return;
  TITAN_LOG(WARNING) << "[shards] all shards together ("
                     << human_bytes(static_cast<double>(total_bytes()))
                     << ") do not fit into the cache (dataset.cache_gib, "
                     << human_bytes(static_cast<double>(limit))
                     << "), and training.shuffle reads all of them all the time: they will be "
                        "fetched over and over. Turn training.shuffle off or raise the limit";
}

Status RemoteShards::learn_size(std::size_t shard) {
  RemoteFile& file = shards_[shard].file;
  if (file.size_bytes) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const HttpRequest request, remote_request(shards_[shard].url));
  TITAN_ASSIGN_OR_RETURN(file, http_stat(request, cache_->options().http));
  return ok_status();
}

StatusOr<std::shared_ptr<const HeldShard>> RemoteShards::fetch(std::size_t shard,
                                                               const DownloadProgress& progress) {
  TITAN_ASSIGN_OR_RETURN(ShardLease lease, cache_->acquire(shards_[shard], progress));
  StatusOr<std::shared_ptr<const HeldShard>> held = opener_(shard, std::move(lease));
  if (!held.ok()) return annotate(held.status(), shown_url(shards_[shard].url));
  return held;
}

StatusOr<std::shared_ptr<const HeldShard>> RemoteShards::open(std::size_t shard) {
  TITAN_ASSIGN_OR_RETURN(std::shared_ptr<const HeldShard> held, kept(shard));
  if (held != nullptr) return held;
  const RemoteShard& wanted = shards_[shard];
  StatusOr<std::shared_ptr<const HeldShard>> fetched =
      fetch(shard, slow_download_lines(url_basename(wanted.url), wanted.file.size_bytes));
  const absl::StatusCode code = fetched.status().code();
  if (code == absl::StatusCode::kDataLoss || code == absl::StatusCode::kInvalidArgument) {
    // Fetching or unpacking it again for each of its samples would take hours.
    const std::lock_guard<std::mutex> lock(mutex_);
    damaged_[shard] = fetched.status();
    ahead_.erase(shard);
  }
  if (fetched.ok()) keep(shard, *fetched);
  return fetched;
}

StatusOr<std::shared_ptr<const HeldShard>> RemoteShards::kept(std::size_t shard) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto damage = damaged_.find(shard); damage != damaged_.end()) return damage->second;
  const auto found = std::find_if(recent_.begin(), recent_.end(),
                                  [&](const auto& entry) { return entry.first == shard; });
  if (found == recent_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found);
  return found->second;
}

void RemoteShards::keep(std::size_t shard, const std::shared_ptr<const HeldShard>& held) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(recent_, [&](const auto& entry) { return entry.first == shard; });
  recent_.emplace_front(shard, held);
  opened(shard);
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  // The shard just opened stays whatever its size: the next read is most likely its neighbour's.
  std::erase_if(recent_, [&](const auto& entry) {
    bytes += entry.second->size_bytes;
    return ++count > 1 && (bytes > idle_limit_bytes_ || count > kMaxOpen);
  });
}

bool RemoteShards::is_open(std::size_t shard) const {
  return std::any_of(recent_.begin(), recent_.end(),
                     [&](const auto& entry) { return entry.first == shard; });
}

void RemoteShards::opened(std::size_t shard) {
  ahead_.erase(shard);
  planned_.remove(shard);
  const bool in_order = shard == 0 || is_open(shard - 1);
  if (!told_ && in_order && shard + 1 < shards_.size() && !is_open(shard + 1) &&
      !ahead_.contains(shard + 1)) {
    ahead_.clear();
    planned_ = {shard + 1};
  }
  fetch_planned();
}

void RemoteShards::expect(const std::vector<std::size_t>& shards) {
  const std::lock_guard<std::mutex> lock(mutex_);
  told_ = true;
  const std::set<std::size_t> unread = std::exchange(ahead_, {});
  std::set<std::size_t> seen;
  planned_.clear();
  for (const std::size_t shard : shards) {
    if (!seen.insert(shard).second || is_open(shard) || damaged_.contains(shard)) continue;
    if (unread.contains(shard)) {
      ahead_.insert(shard);
    } else {
      planned_.push_back(shard);
    }
  }
  fetch_planned();
}

void RemoteShards::fetch_planned() {
  const auto bytes_of = [&](std::size_t shard) { return shards_[shard].kept_bytes().value_or(0); };
  std::uint64_t bytes = 0;
  for (const std::size_t shard : ahead_) bytes += bytes_of(shard);
  while (!planned_.empty() && fetches_ < kFetchesAhead && !stopping_) {
    const std::size_t shard = planned_.front();
    bytes += bytes_of(shard);
    if (!ahead_.empty() && bytes > idle_limit_bytes_) return;
    planned_.pop_front();
    ahead_.insert(shard);
    ++fetches_;
    fetching_->submit([this, shard] {
      // A read that needs the shard meets the same error and reports it.
      const bool here = !stopping_ && cache_->acquire(shards_[shard]).ok();
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!here) ahead_.erase(shard);
      --fetches_;
      fetch_planned();
    });
  }
}

}  // namespace titan
