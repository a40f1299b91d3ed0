#include "titan/data/remote_tars.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/rank_env.h"
#include "titan/config/job_config.h"
#include "titan/data/fetch_progress.h"
#include "titan/io/cache_folder.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

/// Requests that mostly wait for a server: more of them than there are cores.
constexpr std::size_t kFetchThreads = 8;
constexpr std::size_t kMaxOpen = 64;

std::uint64_t bytes_of_gib(double gib) {
  return static_cast<std::uint64_t>(std::min(gib, 1e9) * 1024 * 1024 * 1024);
}

/// "<samples> <bytes>", the note that a counted tar leaves in the cache.
std::optional<std::pair<std::int64_t, std::uint64_t>> read_note(const std::string& note) {
  const char* const end = note.data() + note.size();
  std::int64_t samples = 0;
  std::uint64_t bytes = 0;
  const auto [space, first] = std::from_chars(note.data(), end, samples);
  if (first != std::errc() || space == end || *space != ' ' || samples < 0) return std::nullopt;
  const auto [last, second] = std::from_chars(space + 1, end, bytes);
  if (second != std::errc() || last != end) return std::nullopt;
  return std::pair{samples, bytes};
}

}  // namespace

struct RemoteTars::Held {
  ShardLease lease;
  TarIndex index;
  std::shared_ptr<const FileDescriptor> file;
};

StatusOr<std::unique_ptr<RemoteTars>> RemoteTars::create(const DatasetSection& settings,
                                                         std::vector<ListedShard> shards) {
  std::unique_ptr<RemoteTars> tars(new RemoteTars(std::move(shards)));
  ShardCacheOptions options;
  if (settings.cache_dir) {
    options.folder = *settings.cache_dir;
  } else {
    TITAN_ASSIGN_OR_RETURN(options.folder, cache_folder("shards"));
  }
  options.limit_bytes = bytes_of_gib(settings.cache_gib);
  options.http.deadline_s = settings.remote_deadline_s;
  options.http.cancelled = &tars->stopping_;
  options.spare = [owner = tars.get()] {
    const std::lock_guard<std::mutex> lock(owner->mutex_);
    owner->recent_.clear();
  };
  TITAN_ASSIGN_OR_RETURN(ShardCache cache, ShardCache::open(std::move(options)));
  tars->cache_ = std::make_unique<ShardCache>(std::move(cache));
  // The ranks of a machine share the cache: together they keep at most a quarter of it from making
  // room for each other.
  const StatusOr<RankEnv> ranks = rank_env_from_environment();
  const auto sharing = static_cast<std::uint64_t>(ranks.ok() ? ranks->local_world_size : 1);
  tars->idle_limit_bytes_ =
      tars->cache_->options().limit_bytes / 4 / std::max<uint64_t>(1, sharing);
  tars->fetching_ = std::make_unique<ThreadPool>(1);
  return tars;
}

RemoteTars::~RemoteTars() { stopping_ = true; }

std::uint64_t RemoteTars::total_bytes() const {
  std::uint64_t bytes = 0;
  for (const ListedShard& shard : shards_) bytes += shard.file.size_bytes.value_or(0);
  return bytes;
}

Status RemoteTars::learn_size(std::size_t tar) {
  ListedShard& shard = shards_[tar];
  if (!shard.is_remote() || shard.file.size_bytes) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const HttpRequest request, remote_request(shard.location));
  TITAN_ASSIGN_OR_RETURN(shard.file, http_stat(request, cache_->options().http));
  return ok_status();
}

Status RemoteTars::learn_count(std::size_t tar, const DownloadProgress& progress) {
  ListedShard& shard = shards_[tar];
  if (!shard.is_remote() || shard.num_samples) return ok_status();
  const RemoteShard place = address(tar);
  if (const auto noted = read_note(cache_->note(place))) {
    shard.num_samples = noted->first;
    return ok_status();
  }
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const Held> held, fetch(tar, progress));
  shard.num_samples = held->index.num_samples();
  return cache_->set_note(place, str_cat(*shard.num_samples, " ", held->index.size_bytes()));
}

Status RemoteTars::learn_counts() {
  TITAN_RETURN_IF_ERROR(for_each_parallel(shards_.size(), kFetchThreads,
                                          [&](std::size_t tar) { return learn_size(tar); }));
  std::vector<std::size_t> uncounted;
  std::uint64_t bytes = 0;
  for (std::size_t tar = 0; tar < shards_.size(); ++tar) {
    const ListedShard& shard = shards_[tar];
    if (!shard.is_remote() || shard.num_samples || !cache_->note(address(tar)).empty()) continue;
    uncounted.push_back(tar);
    bytes += shard.file.size_bytes.value_or(0);
  }
  FetchProgress progress(uncounted.size(), bytes);
  if (!uncounted.empty())
    TITAN_LOG(INFO) << "[shards] " << uncounted.size() << " of " << shards_.size()
                    << " tars are not counted yet: fetching them once (an index.json beside them "
                       "saves this: titan index-shards FOLDER)";
  return for_each_parallel(shards_.size(), kFetchThreads, [&](std::size_t tar) -> Status {
    const bool counting = std::binary_search(uncounted.begin(), uncounted.end(), tar);
    FetchProgress::Item item(progress);
    TITAN_RETURN_IF_ERROR(learn_count(tar, [&](std::uint64_t here) { item.at(here); }));
    if (counting) item.done(shards_[tar].file.size_bytes.value_or(0));
    return ok_status();
  });
}

StatusOr<std::shared_ptr<const RemoteTars::Held>> RemoteTars::fetch(
    std::size_t tar, const DownloadProgress& progress) {
  const RemoteShard place = address(tar);
  TITAN_ASSIGN_OR_RETURN(ShardLease lease, cache_->acquire(place, progress));
  const std::string where = shown_url(place.url);
  StatusOr<TarIndex> index = TarIndex::open(lease.path());
  if (!index.ok()) return annotate(index.status(), where);
  if (const auto& listed = shards_[tar].num_samples; listed && *listed != index->num_samples())
    return failed_precondition("[shards] ", where, " holds ", index->num_samples(),
                               " samples, its index.json says ", *listed,
                               ": write the index again (titan index-shards FOLDER)");
  if (const std::string damage = index->damage(); !damage.empty() && index->was_built())
    TITAN_LOG(WARNING) << damage << "; the " << index->num_samples()
                       << " samples up to there are used";
  TITAN_ASSIGN_OR_RETURN(FileDescriptor file, FileDescriptor::open_for_reading(index->data_path()));
  return std::make_shared<const Held>(
      Held{std::move(lease), *std::move(index),
           std::make_shared<const FileDescriptor>(std::move(file))});
}

std::shared_ptr<const RemoteTars::Held> RemoteTars::kept(std::size_t tar) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(recent_.begin(), recent_.end(),
                                  [&](const auto& entry) { return entry.first == tar; });
  if (found == recent_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found);
  return found->second;
}

void RemoteTars::keep(std::size_t tar, const std::shared_ptr<const Held>& held) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(recent_, [&](const auto& entry) { return entry.first == tar; });
  recent_.emplace_front(tar, held);
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  // The tar just opened stays whatever its size: the next read is most likely its neighbour's.
  std::erase_if(recent_, [&](const auto& entry) {
    bytes += entry.second->index.size_bytes();
    return ++count > 1 && (bytes > idle_limit_bytes_ || count > kMaxOpen);
  });
}

void RemoteTars::fetch_ahead(std::size_t tar) {
  if (tar >= shards_.size() || !shards_[tar].is_remote()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool in_order = tar < 2 || std::any_of(recent_.begin(), recent_.end(),
                                                 [&](const auto& e) { return e.first == tar - 2; });
    if (!in_order || !ahead_.insert(tar).second) return;
  }
  fetching_->submit([this, tar] {
    // A read that needs the tar meets the same error and reports it.
    if (!stopping_) static_cast<void>(cache_->acquire(address(tar)).status());
    const std::lock_guard<std::mutex> lock(mutex_);
    ahead_.erase(tar);
  });
}

StatusOr<OpenTar> RemoteTars::open(std::size_t tar) {
  std::shared_ptr<const Held> held = kept(tar);
  if (held == nullptr) {
    TITAN_ASSIGN_OR_RETURN(held, fetch(tar, {}));
    fetch_ahead(tar + 1);
    keep(tar, held);
  }
  return OpenTar{.index = {held, &held->index}, .file = {held, held->file.get()}};
}

}  // namespace titan
