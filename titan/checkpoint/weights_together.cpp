#include "titan/checkpoint/weights_together.h"

#include <filesystem>

#include "titan/checkpoint/layout_roles.h"
#include "titan/checkpoint/pending_save.h"
#include "titan/checkpoint/rank_file.h"
#include "titan/checkpoint/weight_export.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/checkpoint/weights.h"
#include "titan/data/tensor_file.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;

/// Every tensor of the source as it is, in another type.
std::vector<TensorRecipe> copies_of(const WeightSource& source, TensorType type) {
  std::vector<TensorRecipe> recipes;
  for (const TensorSpec& tensor : source.tensors()) {
    const int64_t rows = tensor.shape.empty() ? 1 : tensor.shape.front();
    recipes.push_back({{tensor.name, type, tensor.shape}, {{tensor.name, 0, rows}}});
  }
  return in_file_order(std::move(recipes), type);
}

Status join_parts(const std::string& step_folder, const std::string& prefix,
                  const std::string& path, const std::map<std::string, std::string>& metadata,
                  TensorType type) {
  TITAN_ASSIGN_OR_RETURN(const auto source, WeightSource::open(step_folder, prefix));
  const std::vector<TensorRecipe> recipes = copies_of(*source, type);
  std::vector<TensorSpec> specs;
  for (const TensorRecipe& recipe : recipes) specs.push_back(recipe.tensor);
  TITAN_ASSIGN_OR_RETURN(ShardPlan plan, plan_one_file(path, std::move(specs)));
  return export_to_files(*source, recipes, std::move(plan), metadata, {});
}

Status write_parts(const CheckpointFolder& folder, const std::vector<CheckpointItem>& items,
                   const LayoutRoles& roles, const RankGroup& ranks) {
  std::vector<CheckpointItem> own;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (roles.writes[i]) own.push_back(items[i]);
  TITAN_ASSIGN_OR_RETURN(const RankFile file, plan_rank_file(rank_file_name(ranks.rank), own));
  file.await_device();
  RankPart part{file.name, file.index};
  if (!file.empty()) part.pieces = [&file] { return file.pieces(); };
  TITAN_ASSIGN_OR_RETURN(const auto save,
                         PendingSave::begin({.folder = folder, .ranks = ranks}, {}, part));
  return save->finish();
}

}  // namespace

Status export_together(const std::string& path, const std::vector<CheckpointItem>& items,
                       const std::map<std::string, std::string>& metadata, TensorType type,
                       const RankGroup& ranks) {
  TITAN_CHECK(!items.empty(), "[checkpoint] nothing to export (", path, ")");
  TITAN_ASSIGN_OR_RETURN(const LayoutRoles roles, find_roles(items, ranks, host_identity()));
  if (roles.first_writes_all)
    return run_on_first_rank(
        ranks, [&] { return export_weights(path, items, metadata, scalar_type_of(type)); });
  const fs::path target(path);
  const CheckpointFolder folder(
      (target.parent_path() / (".tmp-" + target.filename().string())).string());
  Status status = write_parts(folder, items, roles, ranks);
  if (status.ok()) {
    status = run_on_first_rank(ranks, [&] {
      return join_parts(folder.step_path(0), items.front().prefix, path, metadata, type);
    });
  }
  std::error_code ignored;
  if (ranks.is_first()) fs::remove_all(folder.path(), ignored);
  return status;
}

}  // namespace titan::checkpoint
