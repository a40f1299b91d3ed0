// weights.h: the weights that a run holds, into a file of whole tensors under their own names
// (checkpoint/weight_source.h reads it).
#pragma once

#include <c10/core/ScalarType.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_reader.h"

namespace titan::checkpoint {

/// Writes the items' tensors, whole and without their prefix, to one safetensors file; one tensor
/// at a time is copied and, with `type`, converted. The items must hold every element (one rank of
/// a replicated layout does); a gap is an error that names the tensor.
Status export_weights(const std::string& path, const std::vector<CheckpointItem>& items,
                      const std::map<std::string, std::string>& metadata = {},
                      std::optional<at::ScalarType> type = {});

}  // namespace titan::checkpoint
