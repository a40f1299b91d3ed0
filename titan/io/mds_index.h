// mds_index.h: index.json of a folder of MosaicML's shards (MDS, format version 2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/file_digest.h"

namespace titan {

struct MdsColumn {
  std::string name;
  std::string encoding;               ///< "str", "int", "jpeg", "ndarray:int32:8"
  std::optional<std::uint32_t> size;  ///< bytes of every value; empty where each has its own
};

/// One shard as the index describes it.
struct MdsShardInfo {
  std::string raw_name;  ///< "shard.00000.mds", relative to the index
  std::uint64_t raw_bytes = 0;
  std::vector<FileDigest> raw_digests;
  std::string zip_name;  ///< "shard.00000.mds.zstd"; empty where it is not compressed
  std::optional<std::uint64_t> zip_bytes;
  std::vector<FileDigest> zip_digests;
  int64_t num_samples = 0;
  std::vector<MdsColumn> columns;
};

/// Parses the text of an index; `path` serves messages. kDataLoss for damage, kInvalidArgument for
/// another format, version or compression than zstd, and for file names that leave the folder.
StatusOr<std::vector<MdsShardInfo>> parse_mds_index(const std::string& text,
                                                    const std::string& path);

}  // namespace titan
