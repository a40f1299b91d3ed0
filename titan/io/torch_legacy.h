// torch_legacy.h: what torch.save wrote before PyTorch 1.6: five pickles (a magic number, the
// version, the machine, the object, the keys of its storages), then the storages in that order.
// Private to torch_file.cpp.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/torch_file.h"

namespace titan {

/// Whether the bytes begin with a pickle (and cannot be a safetensors file).
bool looks_like_legacy_torch(std::span<const std::byte> bytes);

/// See read_torch_entries.
StatusOr<std::vector<TorchEntry>> read_legacy_torch(std::span<const std::byte> bytes);

}  // namespace titan
