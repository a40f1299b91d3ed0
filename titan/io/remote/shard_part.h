// shard_part.h: a shard of the cache from its first byte until it has its name. Called by the
// holder of its lock (shard_cache.h).
#pragma once

#include <string>

#include "titan/base/status.h"
#include "titan/io/remote/http.h"
#include "titan/io/remote/remote_shard.h"

namespace titan {

/// Fills `part` (http_download) and compares its digests. Bytes that a broken disk or proxy has
/// changed are fetched once more; a server that still sends others has another file than its
/// index says: kFailedPrecondition.
Status download_part(const RemoteShard& shard, const HttpOptions& http, const std::string& part,
                     const DownloadProgress& progress);

/// Makes the whole `part` the shard at `path`, unpacked where it is compressed, and on the disk
/// before it has its name: after a power cut a whole size means whole bytes. The part is gone
/// afterwards, also where it does not unpack (kDataLoss).
Status finish_part(const RemoteShard& shard, const std::string& part, const std::string& path);

/// With the note of its version.
void remove_part(const std::string& part);

/// Removes what a process killed while it unpacked has left in the shard's folder.
void remove_leftovers(const std::string& folder);

}  // namespace titan
