// shard_counts.h: the file index.json beside tars that says how many samples each holds, so that a
// job over a server's shards can begin before it has fetched them all. The layout is that of the
// webdataset library's "wids" index (wids_version 1), which its widsindex tool writes as well.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct ShardCount {
  std::string url;  ///< as written: usually a name beside the index
  std::int64_t num_samples = 0;
  std::optional<std::uint64_t> size_bytes;
};

/// kDataLoss where `json` is no such index; `name` serves messages.
StatusOr<std::vector<ShardCount>> parse_shard_counts(const std::string& json,
                                                     const std::string& name);
/// True where `json` is an index of this kind (MDS has an index.json too).
bool is_shard_counts(const std::string& json);
std::string render_shard_counts(const std::vector<ShardCount>& shards);

}  // namespace titan
