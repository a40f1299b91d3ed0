#include "titan/tools/convert_output.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/checkpoint/weight_export.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Says how far it is, every few seconds.
class ProgressLog {
 public:
  explicit ProgressLog(std::uint64_t total) : total_(static_cast<double>(total)) {}
  void operator()(std::uint64_t bytes) {
    constexpr double kInterval = 5;
    const auto now = std::chrono::steady_clock::now();
    if (std::chrono::duration<double>(now - shown_).count() < kInterval) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const auto done = static_cast<double>(bytes);
    TITAN_LOG(INFO) << "[convert] " << human_bytes(done) << " of " << human_bytes(total_) << ", "
                    << human_bytes(done / seconds) << "/s, "
                    << human_duration((total_ - done) * seconds / done) << " left";
  }

 private:
  double total_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = began_;
};

Status make_folder(const fs::path& folder) {
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  return error ? errno_status(error.value(), "make folder", folder.string()) : ok_status();
}

std::vector<TensorSpec> specs_of(const std::vector<TensorRecipe>& recipes) {
  std::vector<TensorSpec> specs;
  for (const TensorRecipe& recipe : recipes) specs.push_back(recipe.tensor);
  return specs;
}

Status write_folder(checkpoint::WeightSource& source, const ConvertedWeights& weights,
                    const std::vector<TensorRecipe>& recipes) {
  const fs::path output = weights.path;
  // A name that nobody gives: what a killed conversion left there is removed.
  const std::string temporary =
      output.parent_path() / str_cat(".", output.filename().string(), ".titan-convert");
  std::error_code error;
  fs::remove_all(temporary, error);
  TITAN_RETURN_IF_ERROR(make_folder(temporary));
  const auto write = [&]() -> Status {
    TITAN_ASSIGN_OR_RETURN(
        ShardPlan plan,
        plan_shards(temporary, weights.format == "diffusers" ? "diffusion_pytorch_model" : "model",
                    specs_of(recipes), weights.max_shard_bytes));
    ProgressLog progress(plan.total_bytes);
    TITAN_RETURN_IF_ERROR(checkpoint::export_to_files(source, recipes, std::move(plan),
                                                      {{"format", "pt"}}, std::ref(progress)));
    for (const auto& [name, text] : weights.companions)
      TITAN_RETURN_IF_ERROR(write_file_atomically(temporary + "/" + name, text));
    return ok_status();
  };
  Status status = write();
  if (status.ok()) {
    fs::remove(output, error);  // an empty folder
    fs::rename(temporary, output, error);
    if (error) status = errno_status(error.value(), "rename to", output.string());
  }
  if (!status.ok()) fs::remove_all(temporary, error);
  return status;
}

Status write_file(checkpoint::WeightSource& source, const std::string& path,
                  const std::vector<TensorRecipe>& recipes) {
  TITAN_RETURN_IF_ERROR(make_folder(fs::path(path).parent_path()));
  TITAN_ASSIGN_OR_RETURN(ShardPlan plan, plan_one_file(path, specs_of(recipes)));
  ProgressLog progress(plan.total_bytes);
  return checkpoint::export_to_files(source, recipes, std::move(plan), {{"format", "pt"}},
                                     std::ref(progress));
}

Status write_checkpoint(checkpoint::WeightSource& source, const std::string& folder,
                        const std::vector<TensorRecipe>& recipes) {
  TITAN_ASSIGN_OR_RETURN(const ShardPlan plan, plan_one_file(folder, specs_of(recipes)));
  ProgressLog progress(plan.total_bytes);
  return checkpoint::export_to_checkpoint(source, recipes, folder, std::ref(progress));
}

}  // namespace

Status write_converted(checkpoint::WeightSource& source, const ConvertedWeights& weights) {
  const bool is_checkpoint = weights.format == "titan";
  const std::vector<TensorRecipe> recipes = checkpoint::in_file_order(
      weights.recipes, is_checkpoint ? std::optional(TensorType::kF32) : weights.type);
  if (is_checkpoint) return write_checkpoint(source, weights.path, recipes);
  if (weights.path.ends_with(".safetensors")) return write_file(source, weights.path, recipes);
  return write_folder(source, weights, recipes);
}

}  // namespace titan
