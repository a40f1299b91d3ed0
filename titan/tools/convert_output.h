// convert_output.h: writes what `titan convert` makes: one file, a folder of files, or a
// checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/protocols/weight_formats.h"

namespace titan {

struct ConvertedWeights {
  std::string path;                        ///< x.safetensors, else a new folder
  std::string format;                      ///< "titan" = a checkpoint
  std::optional<TensorType> type = {};     ///< of all tensors; as stored where it is unset
  std::vector<TensorRecipe> recipes = {};  ///< the tensors
  std::map<std::string, std::string> companions = {};  ///< small files for a folder: text by name
  std::uint64_t max_shard_bytes = 0;                   ///< of one file of a folder
};

/// Copies the tensors, saying every few seconds how far it is. The output appears when it is
/// complete.
Status write_converted(checkpoint::WeightSource& source, const ConvertedWeights& weights);

}  // namespace titan
