// weight_export.h: weights from any source into files, a few megabytes at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/io/shard_writer.h"
#include "titan/protocols/weight_formats.h"

namespace titan::checkpoint {

/// Called with the bytes written so far.
using Progress = std::function<void(std::uint64_t bytes)>;

/// The recipes in the order of a file: larger elements first, which keeps every tensor aligned.
/// With `type`, all tensors get it.
std::vector<TensorRecipe> in_file_order(std::vector<TensorRecipe> recipes,
                                        std::optional<TensorType> type);

/// Writes the recipes' tensors in their order and types to the plan's files. Values that become
/// infinite in float16 are counted and reported as a warning that names the first tensor.
Status export_to_files(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                       ShardPlan plan, const std::map<std::string, std::string>& metadata,
                       const Progress& progress);

/// Writes a checkpoint of step 0 that holds the model's weights alone (float32) into a folder of
/// checkpoints: `folder`/step-000000. It appears when it is complete.
Status export_to_checkpoint(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                            const std::string& folder, const Progress& progress);

}  // namespace titan::checkpoint
