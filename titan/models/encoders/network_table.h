// encoders: the frozen networks (T5, CLIP's text half, the autoencoder). They are single-device
// code like every model: nothing of titan/parallel, nothing of files but their small JSON.
//
// network_table.h: every tensor of a network with its shape in symbols, and what stored tensors
// say about the symbols. Private to this folder and tests. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/io/safetensors.h"

namespace titan::models {

/// Values of symbols. A symbol without a value counts as -1 in a shape.
using NetworkSizes = std::map<std::string, int64_t>;

/// A tensor whose sizes are symbols ("width"), multiples of one ("2z") or numbers ("3").
struct SymbolicTensor {
  std::string name;
  std::vector<std::string> shape;
};

/// The value of one size; -1 where its symbol has none or the product overflows.
int64_t size_value(const std::string& size, const NetworkSizes& sizes);

/// The value for a message, "?" where there is none.
std::string size_text(const std::string& size, const NetworkSizes& sizes);

/// Symbols' values by the vote of all stored tensors, so that one wrong tensor does not make the
/// others wrong. Stored tensors are not believed: any shapes give an answer.
NetworkSizes vote_sizes(const std::vector<SymbolicTensor>& table,
                        const std::vector<TensorSpec>& stored);

std::vector<TensorSpec> specs_of(const std::vector<SymbolicTensor>& table,
                                 const NetworkSizes& sizes, TensorType type = TensorType::kF32);

/// How many of something there are: one more than the highest N in a name "<prefix>N.rest", at most
/// 1024 (a hostile name costs no memory).
int64_t count_numbered(const std::vector<TensorSpec>& stored, const std::string& prefix);

}  // namespace titan::models
