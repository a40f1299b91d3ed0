// name_table.h: every tensor of a Flux model of any depth, with its shape in symbols and its names.
// Private to names.cpp, name_layout.cpp and tests. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/io/safetensors.h"

namespace titan::models {

/// What decides which tensors a Flux model has.
struct FluxLayout {
  int64_t depth = 0;
  int64_t depth_single = 0;
  bool guidance = false;
  bool qkv_bias = true;
};

/// Values of the symbols in shapes: h hidden, m feed-forward, d head, i and o token in and out, c
/// text, v pooled text.
using FluxSizes = std::map<char, int64_t>;

/// Value of a size such as "3h+m" or "256"; -1 where a symbol has no value or the sum overflows.
int64_t evaluate_size(const std::string& expression, const FluxSizes& sizes);

/// A tensor of one format as rows of the tensor that Black Forest Labs' checkpoints have.
struct FluxPart {
  std::string name;
  /// First row and number of rows, in the order in which they follow each other.
  struct Range {
    std::string first, count;
  };
  std::vector<Range> rows;
};

/// One tensor of Black Forest Labs' checkpoints.
struct FluxTensor {
  std::string name;
  std::string rows;
  std::string columns;  ///< empty = a vector
  std::vector<FluxPart> diffusers;
  std::string torchtitan;

  /// Its tensors in a format.
  std::vector<FluxPart> parts(const std::string& format) const;
  /// Rows of one of them, as a size.
  static std::string rows_of(const FluxPart& part);
};

std::vector<FluxTensor> flux_tensors(const FluxLayout& layout);

/// Shape of a part of `tensor`; a size without a value is -1.
std::vector<int64_t> shape_of(const FluxTensor& tensor, const FluxPart& part,
                              const FluxSizes& sizes);
/// All tensors of a format, in the table's order.
std::vector<TensorSpec> flux_specs(const std::vector<FluxTensor>& tensors, const FluxSizes& sizes,
                                   const std::string& format, TensorType type = TensorType::kF32);

}  // namespace titan::models
