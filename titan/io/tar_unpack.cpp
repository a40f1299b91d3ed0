#include "titan/io/tar_unpack.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/tar_scan.h"

namespace titan {
namespace {

constexpr std::size_t kBlock = 512;
// Pictures hardly shrink and captions by ten; a few bytes of zstd or of gzip in gzip fill any disk.
constexpr std::uint64_t kLargestRatio = 200;
constexpr std::uint64_t kAlwaysAllowed = 64 << 20;

std::string archive_error(archive* reader) {
  const char* text = archive_error_string(reader);
  return text == nullptr ? "unknown error" : text;
}

}  // namespace

StatusOr<bool> is_compressed_tar(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file, FileDescriptor::open_for_reading(path));
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  char block[kBlock] = {};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, stamp.size_bytes));
  TITAN_RETURN_IF_ERROR(read_exactly(file, 0, block, size, path));
  if (size == kBlock && is_tar_header(block)) return false;
  const auto begins_with = [&](const char* magic, std::size_t length) {
    return size >= length && std::memcmp(block, magic, length) == 0;
  };
  return begins_with("\x1f\x8b", 2) || begins_with("BZh", 3) ||
         begins_with(
             "\xfd"
             "7zXZ",
             5) ||
         begins_with("\x28\xb5\x2f\xfd", 4);
}

Status unpack_tar(const std::string& path, const std::string& target) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                      archive_read_free);
  TITAN_CHECK(reader != nullptr, "[tar] out of memory");
  // By name: "all" knows formats too that libarchive unpacks by running a program (lrzip, grzip).
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_raw(
      reader.get());  // the bytes themselves: our own scan reads the tar
  archive_entry* entry = nullptr;
  constexpr std::size_t kReadBytes = 1 << 16;
  if (archive_read_open_filename(reader.get(), path.c_str(), kReadBytes) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
    return data_loss("[tar] cannot decompress ", path, ": ", archive_error(reader.get()));
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(target));
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  const std::uint64_t most = std::max(kAlwaysAllowed, kLargestRatio * stamp.size_bytes);
  std::uint64_t written = 0;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const la_ssize_t count = archive_read_data(reader.get(), buffer.data(), buffer.size());
    if (count < 0) {
      TITAN_LOG(WARNING) << "[tar] " << path << " is damaged: " << archive_error(reader.get());
      break;
    }
    if (count == 0) break;
    written += static_cast<std::uint64_t>(count);
    if (written > most)
      return data_loss("[tar] ", path, " unpacks to more than ", most / stamp.size_bytes,
                       " times its size: a decompression bomb?");
    TITAN_RETURN_IF_ERROR(file.write(buffer.data(), static_cast<std::size_t>(count)));
  }
  return file.commit();
}

}  // namespace titan
