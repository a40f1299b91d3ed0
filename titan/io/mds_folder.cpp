#include "titan/io/mds_folder.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/io/cache_folder.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/zstd_file.h"

namespace titan {

namespace fs = std::filesystem;

StatusOr<std::unique_ptr<MdsFolder>> MdsFolder::open(const std::string& folder,
                                                     std::vector<MdsShardInfo> shards) {
  auto result = std::make_unique<MdsFolder>();
  result->path_ = folder;
  result->shards_ = std::move(shards);
  std::error_code ignored;
  const auto is_here = [&](const std::string& name) {
    return !name.empty() && fs::exists(fs::path(folder) / name, ignored);
  };
  for (const MdsShardInfo& shard : result->shards_) {
    if (!is_here(shard.raw_name) && !is_here(shard.zip_name))
      return not_found("[mds] ", (fs::path(folder) / "index.json").string(),
                       " lists a shard that is not there (",
                       shard.zip_name.empty() ? shard.raw_name : shard.zip_name, ")");
    result->slots_.push_back(std::make_unique<Slot>());
  }
  return result;
}

StatusOr<std::shared_ptr<const MdsShard>> MdsFolder::shard(std::size_t i) const {
  Slot& slot = *slots_.at(i);
  const std::lock_guard<std::mutex> lock(slot.mutex);
  if (slot.shard != nullptr) return slot.shard;
  TITAN_RETURN_IF_ERROR(slot.damage);
  StatusOr<MdsShard> opened = open_shard(shards_[i]);
  if (!opened.ok()) {
    // Unpacking a damaged shard again for each of its samples would take hours.
    if (opened.status().code() == absl::StatusCode::kDataLoss) slot.damage = opened.status();
    return opened.status();
  }
  slot.shard = std::make_shared<const MdsShard>(*std::move(opened));
  return slot.shard;
}

StatusOr<MdsShard> MdsFolder::open_shard(const MdsShardInfo& info) const {
  std::error_code ignored;
  const fs::path raw = fs::path(path_) / info.raw_name;
  if (info.zip_name.empty() || fs::exists(raw, ignored)) return MdsShard::open(raw.string(), info);
  const fs::path zip = fs::path(path_) / info.zip_name;
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(zip.string()));
  const std::string source = str_cat(fs::absolute(zip, ignored).string(), "\n", stamp.size_bytes,
                                     "\n", stamp.modified_ns, "\n", info.raw_bytes);
  TITAN_ASSIGN_OR_RETURN(const std::string cache, cache_folder("mds"));
  const fs::path unpacked = fs::path(cache) / (xxh3_128_hex(source.data(), source.size()) + ".mds");
  if (!fs::exists(unpacked, ignored)) {
    TITAN_LOG(INFO) << "[mds] unpacking " << zip.string() << " once into " << unpacked.string();
    TITAN_RETURN_IF_ERROR(unpack_zstd(zip.string(), unpacked.string(), info.raw_bytes));
  }
  StatusOr<MdsShard> shard = MdsShard::open(unpacked.string(), info);
  return shard.ok() ? std::move(shard) : annotate(shard.status(), zip.string());
}

}  // namespace titan
