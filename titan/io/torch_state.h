// torch_state.h: the tensors that a pickle of PyTorch describes: a state dict, perhaps inside
// other dictionaries. Their bytes lie outside the pickle, in storages. No torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/pickle.h"
#include "titan/io/safetensors.h"

namespace titan {

/// A block of memory that tensors share.
struct TorchStorage {
  std::string key = {};                 ///< its name in the file
  std::optional<TensorType> type = {};  ///< unset: of plain bytes
  std::uint64_t count = 0;              ///< elements of the type, or bytes
  std::uint64_t view_offset = 0;        ///< elements; of a view of a storage (files before 2017)
};

/// A tensor as a pickle describes it: checked in itself (no overflow, inside its storage).
struct TorchTensor {
  std::string name = {};
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape, strides;  ///< strides in elements, none negative
  TorchStorage storage;
  std::uint64_t first = 0;     ///< element of the storage that is element 0
  std::uint64_t count = 0;     ///< elements of the tensor
  bool is_contiguous = false;  ///< elements lie row-major without gaps
};

/// What pickles of PyTorch may name: dictionaries, sizes, data types, storages and the functions
/// that put tensors together. Nothing of it is called.
pickle::Use use_in_torch_file(const std::string& global);

/// The tensors by name. A dictionary under "state_dict", "model_state_dict", "model", "module",
/// "params" or "weights" (the first of these there is) is taken instead of what lies around it;
/// values that are no tensors are passed over. kDataLoss or kInvalidArgument says what does not
/// fit.
StatusOr<std::vector<TorchTensor>> tensors_of_pickle(const pickle::Pickle& pickle);

/// The storages that a pickle mentions, once for each key (the old format lists keys only).
StatusOr<std::vector<TorchStorage>> storages_of_pickle(const pickle::Pickle& pickle);

}  // namespace titan
