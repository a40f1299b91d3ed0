// recipe_reader.h: tensors that are made from rows of stored ones (protocols/weight_formats.h),
// read in any part and any floating-point type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_reader.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/protocols/weight_formats.h"

namespace titan::checkpoint {

/// Fills `out` (1-D, contiguous, on the CPU) with the elements of the recipe's tensor that begin at
/// `first`, converted to its type. Equal types are copied bit for bit.
Status read_elements(WeightSource& source, const TensorRecipe& recipe, int64_t first,
                     const at::Tensor& out);

/// Fills the items' flat buffers from the recipes' tensors, each rank its own parts of `model` (all
/// tensors that the ranks hold together). Tensors that are missing, unknown or of another shape are
/// all named (kFailedPrecondition), before anything is changed.
Status load_recipes(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                    const std::vector<CheckpointItem>& items, const std::vector<TensorSpec>& model);

/// Names and shapes of the items' whole tensors.
std::vector<TensorSpec> tensors_of(const std::vector<CheckpointItem>& items);

}  // namespace titan::checkpoint
