#include "titan/checkpoint/weight_export.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "titan/base/log.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/data/tensor_file.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/safetensors_header.h"

namespace titan::checkpoint {
namespace {

using Write = std::function<Status(const void* data, std::size_t size_bytes)>;

/// Values that are finite in the source and infinite in float16.
class Overflow {
 public:
  void note(const std::string& tensor, const at::Tensor& wide, const at::Tensor& narrow) {
    const auto count = narrow.isinf().sum().item<int64_t>() - wide.isinf().sum().item<int64_t>();
    if (count > 0 && first_.empty()) first_ = tensor;
    count_ += count;
  }
  void report() const {
    if (count_ > 0)
      TITAN_LOG(WARNING) << "[weights] " << count_
                         << " values are too large for float16 and became infinite, the first in "
                         << first_ << "; bfloat16 would hold them";
  }

 private:
  int64_t count_ = 0;
  std::string first_;
};

Status write_recipe(WeightSource& source, const TensorRecipe& recipe, const Write& write,
                    Overflow& overflow) {
  constexpr int64_t kElementsAtATime = int64_t{4} << 20;
  TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(recipe.tensor.shape));
  const at::ScalarType type = scalar_type_of(recipe.tensor.type);
  const TensorSpec* stored = recipe.parts.empty() ? nullptr : source.find(recipe.parts[0].tensor);
  const bool narrows = recipe.tensor.type == TensorType::kF16 && stored != nullptr &&
                       stored->type != TensorType::kF16;
  for (int64_t at = 0; at < count; at += kElementsAtATime) {
    at::Tensor piece =
        at::empty({std::min(kElementsAtATime, count - at)}, narrows ? at::kFloat : type);
    TITAN_RETURN_IF_ERROR(read_elements(source, recipe, at, piece));
    if (narrows) {
      const at::Tensor half = piece.to(at::kHalf);
      overflow.note(recipe.tensor.name, piece, half);
      piece = half;
    }
    TITAN_RETURN_IF_ERROR(write(piece.const_data_ptr(), piece.nbytes()));
  }
  return ok_status();
}

Status write_all(WeightSource& source, const std::vector<TensorRecipe>& recipes, const Write& write,
                 const Progress& progress) {
  std::uint64_t written = 0;
  const Write counted = [&](const void* data, std::size_t size_bytes) {
    const Status status = write(data, size_bytes);
    written += size_bytes;
    if (status.ok() && progress) progress(written);
    return status;
  };
  Overflow overflow;
  for (const TensorRecipe& recipe : recipes)
    TITAN_RETURN_IF_ERROR(write_recipe(source, recipe, counted, overflow));
  overflow.report();
  return ok_status();
}

Status write_checkpoint_files(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                              const std::string& folder, const Progress& progress) {
  const std::string file = rank_file_name(0);
  CheckpointIndex index;
  std::vector<TensorSpec> specs;
  for (const TensorRecipe& recipe : recipes) {
    const std::string key = "model." + recipe.tensor.name;
    TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(recipe.tensor.shape));
    specs.push_back({key, recipe.tensor.type, {count}});
    index.tensors[key] = {
        name_of(recipe.tensor.type), recipe.tensor.shape, {{file, key, 0, count}}};
  }
  const std::string path = folder + "/" + file;
  TITAN_ASSIGN_OR_RETURN(const auto writer, SafetensorsWriter::create(path, specs));
  TITAN_RETURN_IF_ERROR(write_all(
      source, recipes,
      [&](const void* data, std::size_t size_bytes) { return writer->write(data, size_bytes); },
      progress));
  TITAN_ASSIGN_OR_RETURN(const std::string hash, writer->finish());
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  index.files[file] = {stamp.size_bytes, hash};
  return write_file_atomically(folder + "/index.json", to_json(index));
}

}  // namespace

std::vector<TensorRecipe> in_file_order(std::vector<TensorRecipe> recipes,
                                        std::optional<TensorType> type) {
  if (type)
    for (TensorRecipe& recipe : recipes) recipe.tensor.type = *type;
  std::stable_sort(recipes.begin(), recipes.end(), [](const auto& a, const auto& b) {
    return element_size(a.tensor.type) > element_size(b.tensor.type);
  });
  return recipes;
}

Status export_to_files(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                       ShardPlan plan, const std::map<std::string, std::string>& metadata,
                       const Progress& progress) {
  TITAN_ASSIGN_OR_RETURN(const auto writer, ShardWriter::create(std::move(plan), metadata));
  TITAN_RETURN_IF_ERROR(write_all(
      source, recipes,
      [&](const void* data, std::size_t size_bytes) { return writer->write(data, size_bytes); },
      progress));
  return writer->finish();
}

Status export_to_checkpoint(WeightSource& source, const std::vector<TensorRecipe>& recipes,
                            const std::string& folder, const Progress& progress) {
  const CheckpointFolder target(folder);
  TITAN_RETURN_IF_ERROR(target.prepare());
  const std::string temporary = target.temporary_path(0);
  std::error_code error;
  std::filesystem::create_directories(temporary, error);
  if (error) return errno_status(error.value(), "make folder", temporary);
  const Status status =
      write_checkpoint_files(source, in_file_order(recipes, TensorType::kF32), temporary, progress);
  if (status.ok()) return target.publish(0);
  std::filesystem::remove_all(temporary, error);
  return status;
}

}  // namespace titan::checkpoint
