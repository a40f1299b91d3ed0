// remote_shard.h: one file of a data set on a server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/io/file_digest.h"
#include "titan/io/remote/http.h"

namespace titan {

/// A file on a server and what is known about it; another version is another shard.
struct RemoteShard {
  std::string url;  ///< http, https or s3
  RemoteFile file;
  std::vector<FileDigest> digests = {};  ///< of the file as sent; compared before it is used
  /// Compressed by zstd: the cache keeps it unpacked, so many bytes.
  std::optional<std::uint64_t> unpacked_bytes = {};

  /// In the cache, as far as known.
  std::optional<std::uint64_t> kept_bytes() const {
    return unpacked_bytes ? unpacked_bytes : file.size_bytes;
  }
};

}  // namespace titan
