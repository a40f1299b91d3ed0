// torch_names.h: the globals of PyTorch that a file of tensors may mention. Private to
// torch_state.cpp.
#pragma once

#include <optional>
#include <string>

#include "titan/io/safetensors.h"

namespace titan {

/// What a name of a storage's or data type's class means. `type` is unset for plain bytes and for
/// types that titan does not have ("torch.ComplexFloatStorage"); then `is_bytes` tells them apart.
struct TorchTypeName {
  std::optional<TensorType> type = {};
  bool is_bytes = false;
};

/// Of "torch.FloatStorage" (also of torch.cuda); empty for anything else.
std::optional<TorchTypeName> torch_storage_class(const std::string& global);
/// Of "torch.float32"; empty for anything else.
std::optional<TorchTypeName> torch_dtype(const std::string& global);

}  // namespace titan
