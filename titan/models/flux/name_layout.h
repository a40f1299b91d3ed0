// name_layout.h: which Flux model stored tensors are of, read off their names and shapes. They are
// not believed: any names and shapes give an answer, and what contradicts it is named elsewhere.
// Private to names.cpp and tests. No torch.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "titan/io/safetensors.h"
#include "titan/models/flux/name_table.h"

namespace titan::models {

using TensorIndex = std::unordered_map<std::string, const TensorSpec*>;
TensorIndex index_of(const std::vector<TensorSpec>& stored);

/// Blocks are counted by the highest number in a name, up to 1024: a name beyond is no block.
FluxLayout flux_layout_of(const std::vector<TensorSpec>& stored, const std::string& format);

/// Values of the symbols in the shapes of `tensors`, each by the vote of all stored tensors in
/// whose shape it stands alone, so that one wrong tensor does not make the others wrong. A symbol
/// without a vote has no value.
FluxSizes flux_sizes_of(const std::vector<FluxTensor>& tensors, const TensorIndex& stored,
                        const std::string& format);

}  // namespace titan::models
