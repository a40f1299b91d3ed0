// file_source.h: weights in plain files: safetensors, or what torch.save wrote. No torch.
#pragma once

#include <memory>
#include <string>

#include "titan/checkpoint/weight_source.h"

namespace titan::checkpoint {

/// `path` is a file, an index of several, or a folder (resolve_model_path, find_weight_file).
StatusOr<std::unique_ptr<WeightSource>> open_weight_files(const std::string& path);

}  // namespace titan::checkpoint
