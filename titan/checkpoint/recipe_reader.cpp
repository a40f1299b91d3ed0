#include "titan/checkpoint/recipe_reader.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <map>
#include <set>

#include "titan/data/tensor_file.h"
#include "titan/protocols/weight_problems.h"

namespace titan::checkpoint {
namespace {

constexpr int64_t kPieceElements = int64_t{4} << 20;

/// Elements of one row.
int64_t row_length(const TensorSpec& tensor) {
  int64_t length = 1;
  for (std::size_t i = 1; i < tensor.shape.size(); ++i) length *= tensor.shape[i];
  return length;
}

/// Elements [first, first + out.numel()) of a stored tensor.
Status read_stored(WeightSource& source, const TensorSpec& stored, int64_t first,
                   const at::Tensor& out) {
  const at::ScalarType type = scalar_type_of(stored.type);
  for (int64_t at = 0; at < out.numel(); at += kPieceElements) {
    const int64_t count = std::min(kPieceElements, out.numel() - at);
    const at::Tensor target = out.narrow(0, at, count);
    if (type == out.scalar_type()) {
      TITAN_RETURN_IF_ERROR(source.read(stored.name, first + at, count, target.mutable_data_ptr()));
      continue;
    }
    const at::Tensor piece = at::empty({count}, type);
    TITAN_RETURN_IF_ERROR(source.read(stored.name, first + at, count, piece.mutable_data_ptr()));
    target.copy_(piece);
  }
  return ok_status();
}

}  // namespace

Status read_elements(WeightSource& source, const TensorRecipe& recipe, int64_t first,
                     const at::Tensor& out) {
  const at::NoGradGuard no_grad;
  const int64_t row = row_length(recipe.tensor);
  const int64_t end = first + out.numel();
  int64_t part_begin = 0;  // of this part, among the recipe's elements
  for (const RowRange& part : recipe.parts) {
    const int64_t part_end = part_begin + part.count * row;
    const int64_t from = std::max(first, part_begin);
    const int64_t to = std::min(end, part_end);
    if (from < to) {
      const TensorSpec* stored = source.find(part.tensor);
      TITAN_CHECK(stored != nullptr, "[weights] no such tensor (", part.tensor, ")");
      TITAN_RETURN_IF_ERROR(read_stored(source, *stored, part.first * row + (from - part_begin),
                                        out.narrow(0, from - first, to - from)));
    }
    part_begin = part_end;
  }
  TITAN_CHECK(end <= part_begin, "[weights] a range outside ", recipe.tensor.name);
  return ok_status();
}

std::vector<TensorSpec> tensors_of(const std::vector<CheckpointItem>& items) {
  std::vector<TensorSpec> tensors;
  std::set<std::string> seen;
  for (const CheckpointItem& item : items)
    for (const parallel::Fragment& fragment : item.fragments)
      if (seen.insert(fragment.name).second)
        tensors.push_back({fragment.name, tensor_type_of(item.dtype()), fragment.shape});
  return tensors;
}

Status load_recipes(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                    const std::vector<CheckpointItem>& items,
                    const std::vector<TensorSpec>& model) {
  std::map<std::string, const TensorRecipe*> by_name;
  std::vector<TensorSpec> made;
  for (const TensorRecipe& recipe : recipes) {
    by_name.emplace(recipe.tensor.name, &recipe);
    made.push_back(recipe.tensor);
  }
  TITAN_RETURN_IF_ERROR(compare_weights(made, model).status("this run's model"));
  for (const CheckpointItem& item : items) {
    for (const parallel::Fragment& fragment : item.fragments) {
      if (fragment.length == 0) continue;
      const at::Tensor host = at::empty({fragment.length}, item.dtype());
      TITAN_RETURN_IF_ERROR(
          read_elements(source, *by_name.at(fragment.name), fragment.global_offset, host));
      const at::NoGradGuard no_grad;
      item.part(fragment).assign(host);
    }
  }
  return ok_status();
}

}  // namespace titan::checkpoint
