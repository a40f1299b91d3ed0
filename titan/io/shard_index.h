// shard_index.h: model.safetensors.index.json, which says in which of several safetensors files
// each tensor lies: {"metadata": {...}, "weight_map": {tensor: file}}. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// File (a plain name, in the index' own folder) by tensor.
using ShardMap = std::map<std::string, std::string>;

/// Parses and checks an index: JSON of the known form, no name twice, and no file name that could
/// lead out of the folder. kDataLoss says what does not fit.
StatusOr<ShardMap> parse_shard_index(const std::string& text);

/// The text of an index; `total_bytes` is the size of all tensors.
std::string render_shard_index(const ShardMap& files, std::uint64_t total_bytes);

}  // namespace titan
