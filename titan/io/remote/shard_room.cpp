#include "titan/io/remote/shard_room.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "titan/base/human.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReserved = "reserved";

fs::path folder_of(const std::string& cache, const std::string& id) {
  return fs::path(cache) / "data" / id;
}

std::uint64_t bytes_in(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator file(folder, error); !error && file != fs::directory_iterator();
       file.increment(error)) {
    std::error_code ignored;
    if (const auto size = file->file_size(ignored); !ignored) bytes += size;
  }
  return bytes;
}

std::uint64_t reserved_bytes(const fs::path& folder) {
  const StatusOr<std::string> text = read_file((folder / kReserved).string(), 64);
  std::uint64_t bytes = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), bytes);
  return bytes;
}

}  // namespace

std::vector<CachedShard> cached_shards(const std::string& cache) {
  std::vector<CachedShard> shards;
  std::error_code error;
  for (fs::directory_iterator entry(fs::path(cache) / "data", error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string id = entry->path().filename().string();
    const StatusOr<FileStamp> used = file_stamp(str_cat(cache, "/locks/", id, ".use"));
    shards.push_back({.id = id,
                      .bytes = std::max(bytes_in(entry->path()), reserved_bytes(entry->path())),
                      .used_at = used.ok() ? used->modified_ns : 0});
  }
  std::sort(shards.begin(), shards.end(), [](const CachedShard& a, const CachedShard& b) {
    return a.used_at != b.used_at ? a.used_at < b.used_at : a.id < b.id;
  });
  return shards;
}

Status reserve(const std::string& cache, const std::string& id, std::uint64_t bytes) {
  const fs::path folder = folder_of(cache, id);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return errno_status(error.value(), "make folder", folder.string());
  return write_file_atomically((folder / kReserved).string(), str_cat(bytes));
}

Status check_disk(const std::string& cache, const std::string& id, std::uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(cache, error);
  const std::uint64_t here = bytes_in(folder_of(cache, id));
  if (error || here + space.available >= bytes) return ok_status();
  return {absl::StatusCode::kResourceExhausted,
          str_cat("[shards] the disk of the cache ", cache, " has ",
                  human_bytes(static_cast<double>(space.available)), " free, a shard needs ",
                  human_bytes(static_cast<double>(bytes - here)),
                  " more: make room, or set dataset.cache_dir")};
}

}  // namespace titan
