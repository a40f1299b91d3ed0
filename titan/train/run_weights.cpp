#include "titan/train/run_weights.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "titan/base/log.h"
#include "titan/base/printable.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/checkpoint/weights_together.h"
#include "titan/io/errno_status.h"
#include "titan/protocols/weight_problems.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "weights-";
constexpr const char* kEnding = ".safetensors";

std::string path_of(const std::string& folder, const char* prefix, int64_t step) {
  char name[64];
  std::snprintf(name, sizeof name, "%s%06lld%s", prefix, static_cast<long long>(step), kEnding);
  return (fs::path(folder) / name).string();
}

/// A checkpoint's averages where they are wanted and it has any, else its weights.
StatusOr<std::unique_ptr<checkpoint::WeightSource>> open_source(const std::string& path,
                                                                bool averages) {
  auto weights = checkpoint::WeightSource::open(path, "model");
  if (!averages || !weights.ok() || !(*weights)->is_checkpoint()) return weights;
  auto averaged = checkpoint::WeightSource::open(path, "ema");
  if (averaged.status().code() != absl::StatusCode::kNotFound) return averaged;
  TITAN_LOG(WARNING) << "[checkpoint] " << (*weights)->path()
                     << " has no averages: the weights themselves are taken";
  return weights;
}

}  // namespace

Status load_published_weights(const std::string& path, const WeightFormats& formats,
                              const std::vector<checkpoint::CheckpointItem>& items,
                              const std::vector<TensorSpec>& model, bool verify) {
  const bool averages = !items.empty() && items.front().prefix == "ema";
  TITAN_ASSIGN_OR_RETURN(const auto source, open_source(path, averages));
  const std::vector<TensorSpec>& stored = source->tensors();
  const std::string format = formats.detect(stored);
  if (format.empty())
    return failed_precondition("[checkpoint] the names in ", source->path(),
                               " are none of this model's (known: ", listed(formats.names()),
                               "); the first are ", first_names(stored));
  const std::string own = formats.names().front();
  const StatusOr<std::vector<TensorRecipe>> recipes = formats.recipes(stored, format, own);
  if (!recipes.ok()) return annotate(recipes.status(), "[checkpoint] " + source->path());
  if (verify) TITAN_RETURN_IF_ERROR(source->verify());
  const Status loaded = checkpoint::load_recipes(*source, *recipes, items, model);
  const std::string theirs = formats.describe(stored, format);
  if (loaded.code() == absl::StatusCode::kFailedPrecondition) {
    const std::string ours = formats.describe(model, own);
    if (ours != theirs)
      return failed_precondition(
          "[checkpoint] ", source->path(), " holds a model of another size (there: ", theirs,
          "; this run: ", ours,
          "); choose what sizes it to match (model.flavor and model.args; an "
          "encoder's config.json), or name other weights. ",
          message_of(loaded));
    return annotate(loaded, "[checkpoint] " + source->path());
  }
  TITAN_RETURN_IF_ERROR(loaded);
  TITAN_LOG(INFO) << "[checkpoint] weights from " << source->path() << " (names of " << format
                  << "; " << theirs << ")";
  return ok_status();
}

std::string run_weights_path(const std::string& folder, int64_t step) {
  return path_of(folder, kPrefix, step);
}
std::string run_averages_path(const std::string& folder, int64_t step) {
  return path_of(folder, "weights-ema-", step);
}

StatusOr<std::string> find_run_weights(const std::string& folder, int64_t step, bool averages) {
  const checkpoint::CheckpointFolder checkpoints(folder);
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, checkpoints.steps());
  TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> alone, latest_run_weights(folder));
  if (steps.empty() && !alone)
    return not_found("[checkpoint] there are neither checkpoints nor weights in ", folder);
  const int64_t last = std::max(steps.empty() ? -1 : steps.back(), alone.value_or(-1));
  const int64_t wanted = step < 0 ? last : step;
  if (std::find(steps.begin(), steps.end(), wanted) != steps.end())
    return checkpoints.step_path(wanted);
  const std::string averaged = run_averages_path(folder, wanted);
  if (averages && fs::exists(averaged)) return averaged;
  const std::string weights = run_weights_path(folder, wanted);
  if (fs::exists(weights)) return weights;
  std::vector<std::string> known;
  for (const int64_t there : steps) known.push_back(std::to_string(there));
  if (alone) known.push_back(std::to_string(*alone));
  return not_found("[checkpoint] there is no step ", wanted, " in ", folder,
                   " (there is: ", listed(known, 20), ")");
}

StatusOr<std::optional<int64_t>> latest_run_weights(const std::string& folder) {
  std::optional<int64_t> latest;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string prefix = kPrefix;
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    int64_t step = -1;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
    if (step < 0 || run_weights_path(folder, step) != entry.path().string()) continue;
    if (!latest || step > *latest) latest = step;
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return errno_status(error.value(), "read", folder);
  return latest;
}

Status abandon_run_weights(const std::string& folder, int64_t step) {
  while (true) {
    TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> latest, latest_run_weights(folder));
    if (!latest || *latest <= step) return ok_status();
    const fs::path path = run_weights_path(folder, *latest);
    std::error_code error;
    fs::rename(path, path.parent_path() / (".abandoned-" + path.filename().string()), error);
    if (error) return errno_status(error.value(), "rename", path.string());
  }
}

Status save_run_weights(const std::string& path,
                        const std::vector<checkpoint::CheckpointItem>& items,
                        const std::string& type, const checkpoint::RankGroup& ranks) {
  TITAN_RETURN_IF_ERROR(checkpoint::export_together(path, items, {{"format", "pt"}},
                                                    type == "bfloat16"  ? TensorType::kBF16
                                                    : type == "float16" ? TensorType::kF16
                                                                        : TensorType::kF32,
                                                    ranks));
  TITAN_LOG(INFO) << "[checkpoint] weights alone, in " << type << ": " << path;
  return ok_status();
}

}  // namespace titan
