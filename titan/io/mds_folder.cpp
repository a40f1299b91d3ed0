#include "titan/io/mds_folder.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/io/cache_folder.h"
#include "titan/io/file_descriptor.h"

namespace titan {

namespace fs = std::filesystem;

StatusOr<MdsFolder> MdsFolder::open(const std::string& folder) {
  std::error_code ignored;
  const std::string index = (fs::path(folder) / "index.json").string();
  if (!fs::exists(index, ignored)) return not_found("[mds] ", folder, " has no index.json");
  constexpr std::uint64_t kMaxIndexBytes = 1ULL << 30;
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(index, kMaxIndexBytes));
  MdsFolder result;
  result.path_ = folder;
  TITAN_ASSIGN_OR_RETURN(result.shards_, parse_mds_index(text, index));
  for (const MdsShardInfo& shard : result.shards_) {
    const bool exists =
        fs::exists(fs::path(folder) / shard.raw_name, ignored) ||
        (!shard.zip_name.empty() && fs::exists(fs::path(folder) / shard.zip_name, ignored));
    if (!exists)
      return not_found("[mds] ", index, " lists a shard that is not there (",
                       shard.zip_name.empty() ? shard.raw_name : shard.zip_name, ")");
    if (!result.samples_.add(shard.num_samples))
      return data_loss("[mds] ", index, " claims more samples than 64 bits count");
    result.slots_.push_back(std::make_unique<Slot>());
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
