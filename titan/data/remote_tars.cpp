#include "titan/data/remote_tars.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "titan/base/log.h"
#include "titan/data/fetch_progress.h"

namespace titan {
namespace {

/// Requests that mostly wait for a server: more of them than there are cores.
constexpr std::size_t kFetchThreads = 8;

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

struct RemoteTars::Held : HeldShard {
  using HeldShard::HeldShard;
  TarIndex index;
  FileDescriptor file;
};

StatusOr<std::unique_ptr<RemoteTars>> RemoteTars::create(const DatasetSection& settings,
                                                         const std::vector<ListedShard>& tars) {
  std::unique_ptr<RemoteTars> made(new RemoteTars());
  std::vector<RemoteShard> shards;
  for (const ListedShard& tar : tars) {
    shards.push_back({.url = tar.location, .file = tar.file});
    made->counts_.push_back(tar.num_samples);
  }
  TITAN_ASSIGN_OR_RETURN(
      made->shards_, RemoteShards::create(settings, std::move(shards),
                                          [owner = made.get()](std::size_t tar, ShardLease lease) {
                                            return owner->hold(tar, std::move(lease));
                                          }));
  return made;
}

Status RemoteTars::learn_count(std::size_t tar, const DownloadProgress& progress) {
  if (counts_[tar]) return ok_status();
  const RemoteShard& shard = shards_->at(tar);
  if (const auto noted = read_note(shards_->cache().note(shard))) {
    counts_[tar] = noted->first;
    return ok_status();
  }
  TITAN_ASSIGN_OR_RETURN(const auto held, shards_->fetch(tar, progress));
  const TarIndex& index = static_cast<const Held&>(*held).index;
  counts_[tar] = index.num_samples();
  return shards_->cache().set_note(shard, str_cat(index.num_samples(), " ", index.size_bytes()));
}

Status RemoteTars::learn_counts() {
  TITAN_RETURN_IF_ERROR(for_each_parallel(
      counts_.size(), kFetchThreads, [&](std::size_t tar) { return shards_->learn_size(tar); }));
  std::vector<std::size_t> uncounted;
  std::uint64_t bytes = 0;
  for (std::size_t tar = 0; tar < counts_.size(); ++tar) {
    if (counts_[tar] || !shards_->cache().note(shards_->at(tar)).empty()) continue;
    uncounted.push_back(tar);
    bytes += shards_->at(tar).file.size_bytes.value_or(0);
  }
  FetchProgress progress(uncounted.size(), bytes);
  if (!uncounted.empty())
    TITAN_LOG(INFO) << "[shards] " << uncounted.size() << " of " << counts_.size()
                    << " tars are not counted yet: fetching them once (an index.json beside them "
                       "saves this: titan index-shards FOLDER)";
  return for_each_parallel(counts_.size(), kFetchThreads, [&](std::size_t tar) -> Status {
    const bool counting = std::binary_search(uncounted.begin(), uncounted.end(), tar);
    FetchProgress::Item item(progress);
    TITAN_RETURN_IF_ERROR(learn_count(tar, [&](std::uint64_t here) { item.at(here); }));
    if (counting) item.done(shards_->at(tar).file.size_bytes.value_or(0));
    return ok_status();
  });
}

StatusOr<std::shared_ptr<const HeldShard>> RemoteTars::hold(std::size_t tar,
                                                            ShardLease lease) const {
  const auto held = std::make_shared<Held>(std::move(lease));
  TITAN_ASSIGN_OR_RETURN(held->index, TarIndex::open(held->lease.path()));
  const TarIndex& index = held->index;
  if (const auto& listed = counts_[tar]; listed && *listed != index.num_samples())
    return failed_precondition("[shards] it holds ", index.num_samples(),
                               " samples, its index.json says ", *listed,
                               ": write the index again (titan index-shards FOLDER)");
  if (const std::string damage = index.damage(); !damage.empty() && index.was_built())
    TITAN_LOG(WARNING) << damage << "; the " << index.num_samples()
                       << " samples up to there are used";
  TITAN_ASSIGN_OR_RETURN(held->file, FileDescriptor::open_for_reading(index.data_path()));
  held->size_bytes = index.size_bytes();
  return held;
}

StatusOr<OpenTar> RemoteTars::open(std::size_t tar) {
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const HeldShard> held, shards_->open(tar));
  const auto& opened = static_cast<const Held&>(*held);
  return OpenTar{.index = {held, &opened.index}, .file = {held, &opened.file}};
}

}  // namespace titan
