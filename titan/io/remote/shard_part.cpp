#include "titan/io/remote/shard_part.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "titan/base/log.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/url.h"
#include "titan/io/zstd_file.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

Status rename_synced(const std::string& part, const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file, FileDescriptor::open_for_reading(part));
  if (::fsync(file.get()) != 0) return errno_status(errno, "write to disk", part);
  if (std::rename(part.c_str(), path.c_str()) != 0) return errno_status(errno, "rename", part);
  return ok_status();
}

}  // namespace

Status download_part(const RemoteShard& shard, const HttpOptions& http, const std::string& part,
                     const DownloadProgress& progress) {
  TITAN_ASSIGN_OR_RETURN(const HttpRequest request, remote_request(shard.url));
  for (int attempt = 1;; ++attempt) {
    TITAN_RETURN_IF_ERROR(http_download(request, http, shard.file, part, progress));
    const Status differs =
        annotate(check_digests(part, shard.digests), "[shards] " + shown_url(shard.url));
    if (differs.ok()) return differs;
    remove_part(part);
    if (differs.code() != absl::StatusCode::kFailedPrecondition) return differs;
    if (attempt == 2)
      return failed_precondition(message_of(differs), " as index.json says (downloaded twice)");
    TITAN_LOG(WARNING) << message_of(differs) << " as index.json says; downloading it again";
  }
}

Status finish_part(const RemoteShard& shard, const std::string& part, const std::string& path) {
  if (!shard.unpacked_bytes) {
    TITAN_RETURN_IF_ERROR(rename_synced(part, path));
  } else if (const Status done = unpack_zstd(part, path, *shard.unpacked_bytes); !done.ok()) {
    if (done.code() == absl::StatusCode::kDataLoss) remove_part(part);
    return annotate(done, shown_url(shard.url));
  }
  remove_part(part);
  return ok_status();
}

void remove_part(const std::string& part) {
  std::error_code ignored;
  fs::remove(part, ignored);
  fs::remove(part + ".json", ignored);
}

void remove_leftovers(const std::string& folder) {
  std::error_code error, ignored;
  for (fs::directory_iterator file(folder, error); !error && file != fs::directory_iterator();
       file.increment(error))
    if (file->path().filename().string().find(".tmp-") != std::string::npos)
      fs::remove(file->path(), ignored);
}

}  // namespace titan
