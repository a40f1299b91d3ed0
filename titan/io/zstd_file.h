// zstd_file.h: a file compressed by zstd.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// Decompresses the zstd file `zip_path` to `path`, which appears whole or not at all. kDataLoss
/// where the data are damaged, end early, or are not `raw_bytes` long.
Status unpack_zstd(const std::string& zip_path, const std::string& path, std::uint64_t raw_bytes);

}  // namespace titan
