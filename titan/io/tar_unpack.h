// tar_unpack.h: compressed tars (gzip, bzip2, xz, zstd) as plain ones, which can be sought in.
#pragma once

#include <string>

#include "titan/base/status.h"

namespace titan {

/// True if the file begins as a compressed stream and not as a tar.
StatusOr<bool> is_compressed_tar(const std::string& path);

/// Decompresses `path` into `target`, atomically, in one pass. A damaged stream is kept up to the
/// damage, with a warning: the scan then names the member that is cut off.
Status unpack_tar(const std::string& path, const std::string& target);

}  // namespace titan
