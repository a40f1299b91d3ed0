// weight_files.h: which file of a folder holds a model's weights. No torch.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// The file or index that `path` means. A file means itself. In a folder the first of these there
/// is: model.safetensors or diffusion_pytorch_model.safetensors, an index of safetensors files, the
/// only safetensors file; likewise pytorch_model.bin or diffusion_pytorch_model.bin, an index of
/// .bin files, the only .bin, .pt or .pth; a variant of one of them (model.fp16.safetensors; fp32
/// before bf16 before fp16); the same in its folder "transformer". kNotFound where there is none,
/// kInvalidArgument where there are several to choose from.
StatusOr<std::string> find_weight_file(const std::string& path);

/// Whether a path is named as an index of several files (*.index.json).
bool is_shard_index(const std::string& path);

enum class WeightFormat : std::uint8_t { kSafetensors, kTorch };
/// What a file or index is, by its first bytes and its name. kInvalidArgument for a pointer of Git
/// LFS that stands for a file which was not fetched.
StatusOr<WeightFormat> weight_format(const std::string& path);

/// Path of a file `name` in the folder of `path`.
std::string path_beside(const std::string& path, const std::string& name);

}  // namespace titan
