// weights.h: weights alone, as whole tensors under their published names.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_reader.h"

namespace titan::checkpoint {

using NamedWeights = std::vector<std::pair<std::string, at::Tensor>>;

/// Writes the items' tensors, whole and without their prefix, to one safetensors file; one tensor
/// at a time is copied and, with `type`, converted. The items must hold every element (one rank of
/// a replicated layout does); a gap is an error that names the tensor.
Status export_weights(const std::string& path, const std::vector<CheckpointItem>& items,
                      const std::map<std::string, std::string>& metadata = {},
                      std::optional<at::ScalarType> type = {});

/// Reads whole tensors on the CPU. `path` is a safetensors file of export_weights (then `prefix`
/// does not matter), the folder of one checkpoint, or a folder of checkpoints (the latest,
/// verified). `prefix` is "model" or "ema".
StatusOr<NamedWeights> read_weights(const std::string& path, const std::string& prefix);

}  // namespace titan::checkpoint
