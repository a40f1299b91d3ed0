// weights_together.h: weights that are spread over ranks, as one ordinary safetensors file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/rank_group.h"
#include "titan/io/safetensors.h"

namespace titan::checkpoint {

/// Collective. Every rank gives the items it holds; the tensors appear whole, without their prefix,
/// in `type`, at `path`, whole or not at all. Parts of several ranks go through a temporary folder
/// beside it, written in parallel; rank 0 streams them into the file, a few megabytes at a time. An
/// error of any rank is returned by all.
Status export_together(const std::string& path, const std::vector<CheckpointItem>& items,
                       const std::map<std::string, std::string>& metadata, TensorType type,
                       const RankGroup& ranks);

}  // namespace titan::checkpoint
