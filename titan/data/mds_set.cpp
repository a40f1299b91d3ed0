#include "titan/data/mds_set.h"

#include <filesystem>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset_path.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// About 300 bytes a shard: a million of them.
constexpr std::uint64_t kMaxIndexBytes = 512ULL << 20;
constexpr const char* kIndex = "index.json";

/// With a '/' at the end.
std::string folder_address(const std::string& text) {
  const std::string last = url_basename(text);
  return last.empty() || last == kIndex ? url_folder(text) : url_folder(text) + last + "/";
}

/// A key of a bucket is written as it is; in an address of the web '#' and '?' would end the path.
std::string file_address(const std::string& folder, const std::string& name) {
  return folder + (is_s3_url(folder) ? name : percent_encode(name, /*keep_slash=*/true));
}

/// What the server has to send for a shard: the compressed file where there is one.
RemoteShard sent_file(const MdsShardInfo& info, const std::string& folder) {
  if (info.zip_name.empty())
    return {.url = file_address(folder, info.raw_name),
            .file = {.size_bytes = info.raw_bytes, .etag = {}, .last_modified = {}},
            .digests = info.raw_digests};
  return {.url = file_address(folder, info.zip_name),
          .file = {.size_bytes = info.zip_bytes, .etag = {}, .last_modified = {}},
          .digests = info.zip_digests,
          .unpacked_bytes = info.raw_bytes};
}

}  // namespace

struct MdsSet::Held : HeldShard {
  using HeldShard::HeldShard;
  MdsShard shard;
};

StatusOr<std::unique_ptr<MdsSet>> MdsSet::open(const JobConfig& config) {
  const std::string text = wanted_dataset_path(config);
  auto set = std::make_unique<MdsSet>();
  if (is_remote_url(text)) {
    TITAN_RETURN_IF_ERROR(set->open_remote(text, config));
  } else {
    TITAN_ASSIGN_OR_RETURN(const fs::path folder, dataset_path(config));
    TITAN_RETURN_IF_ERROR(set->open_local(folder.string()));
  }
  if (set->samples_.total() == 0)
    return invalid_argument("[mds] no samples in ", shown_url(text), " (", set->shards_.size(),
                            " shards)");
  return set;
}

Status MdsSet::count(const std::string& index_name) {
  for (const MdsShardInfo& shard : shards_)
    if (!samples_.add(shard.num_samples))
      return data_loss("[mds] ", index_name, " claims more samples than 64 bits count");
  return ok_status();
}

Status MdsSet::open_local(const std::string& folder) {
  const std::string index = (fs::path(folder) / kIndex).string();
  std::error_code ignored;
  if (!fs::exists(index, ignored)) return not_found("[mds] ", folder, " has no index.json");
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(index, kMaxIndexBytes));
  TITAN_ASSIGN_OR_RETURN(shards_, parse_mds_index(text, index));
  TITAN_ASSIGN_OR_RETURN(local_, MdsFolder::open(folder, shards_));
  return count(index);
}

Status MdsSet::open_remote(const std::string& text, const JobConfig& config) {
  const std::string folder = folder_address(text);
  const std::string index = folder + kIndex;
  TITAN_ASSIGN_OR_RETURN(const HttpRequest request, remote_request(index));
  const StatusOr<std::string> fetched =
      http_get(request, {.deadline_s = config.dataset.remote_deadline_s}, kMaxIndexBytes);
  if (!fetched.ok())
    return annotate(fetched.status(), fetched.status().code() == absl::StatusCode::kNotFound
                                          ? str_cat("[mds] ", shown_url(text), " has no index.json")
                                          : "[mds] index.json");
  TITAN_ASSIGN_OR_RETURN(shards_, parse_mds_index(*fetched, shown_url(index)));
  TITAN_RETURN_IF_ERROR(count(shown_url(index)));
  std::vector<RemoteShard> files;
  for (const MdsShardInfo& shard : shards_) files.push_back(sent_file(shard, folder));
  const auto hold = [this](std::size_t shard,
                           ShardLease lease) -> StatusOr<std::shared_ptr<const HeldShard>> {
    const auto held = std::make_shared<Held>(std::move(lease));
    TITAN_ASSIGN_OR_RETURN(held->shard, MdsShard::open(held->lease.path(), shards_[shard]));
    held->size_bytes = shards_[shard].raw_bytes;
    return held;
  };
  TITAN_ASSIGN_OR_RETURN(remote_, RemoteShards::create(config.dataset, std::move(files), hold));
  remote_->warn_of_thrashing(config.training.shuffle);
  TITAN_LOG(INFO) << "[mds] " << shown_url(folder) << ": " << shards_.size() << " shards, "
                  << samples_.total() << " samples, "
                  << human_bytes(static_cast<double>(remote_->total_bytes())) << " in the cache";
  return ok_status();
}

StatusOr<std::shared_ptr<const MdsShard>> MdsSet::open(std::size_t shard) const {
  if (local_ != nullptr) return local_->shard(shard);
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const HeldShard> held, remote_->open(shard));
  return std::shared_ptr<const MdsShard>(held, &static_cast<const Held&>(*held).shard);
}

void MdsSet::expect(const std::vector<int64_t>& indices) const {
  if (remote_ != nullptr) remote_->expect(samples_.segments_of(indices));
}

}  // namespace titan
