#include "titan/tools/infer.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>

#include "titan/base/argument_vector.h"
#include "titan/base/log.h"
#include "titan/parallel/process_group.h"
#include "titan/train/job_main.h"
#include "titan/train/prompt_file.h"
#include "titan/train/prompt_model.h"
#include "titan/train/prompt_pictures.h"
#include "titan/train/run_folder.h"
#include "titan/train/signals.h"

namespace titan {
namespace {

constexpr const char* kDefaultConfig = "flux_schnell_mlperf";

StatusOr<JobOutcome> infer(const JobContext& job) {
  const JobConfig& config = job.config;
  TITAN_ASSIGN_OR_RETURN(PromptFile file, read_prompt_file(config.inference.prompts_path));
  PromptPictures pictures{
      .prompts = std::move(file.prompts),
      .guidance = config.sampling.guidance,
      .batch_size = config.inference.batch_size,
      .folder = std::filesystem::path(config.job.dump_folder) / config.inference.save_path,
      .settings = {}};
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<PromptModel> model, PromptModel::open(job));
  pictures.settings = model->settings();
  std::optional<RunFolder> folder;  // locked
  if (job.rank.is_main()) {
    TITAN_ASSIGN_OR_RETURN(RunFolder opened,
                           RunFolder::open(pictures.folder, "inference.save_path"));
    folder.emplace(std::move(opened));
  }
  job.ranks.control().barrier();  // the folder is there
  TITAN_LOG(INFO) << "[inference] " << pictures.prompts.size() << " prompts of "
                  << config.inference.prompts_path
                  << (file.blank_lines > 0
                          ? str_cat(" (", file.blank_lines, " blank lines left out)")
                          : "")
                  << " to " << pictures.folder.string() << ", "
                  << (pictures.settings.averages ? "averages" : "weights") << " of "
                  << pictures.settings.weights << ", on " << job.device << ", "
                  << job.rank.world_size << " ranks, batches of " << pictures.batch_size;
  TITAN_ASSIGN_OR_RETURN(const JobOutcome outcome,
                         draw_prompt_pictures(
                             pictures,
                             [&](int64_t first, const std::vector<std::string>& prompts) {
                               return model->draw(first, prompts);
                             },
                             job.ranks.control(), requested_signal));
  if (outcome == JobOutcome::kStopped) return outcome;
  TITAN_RETURN_IF_ERROR(write_prompt_pages(pictures, job.ranks.control()));
  TITAN_LOG(INFO) << "[inference] " << page_path(pictures.folder, 0);
  return outcome;
}

/// What the run folder on the command line was trained with; empty where none is named.
std::string config_of_run(const std::vector<std::string>& arguments) {
  for (const char* variable : {"CONFIG", "CONFIG_FILE"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return "";
  }
  std::string folder;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    for (const std::string name : {"--job.dump_folder", "--job.dump-folder"}) {
      if (argument == name && i + 1 < arguments.size()) folder = arguments[i + 1];
      if (argument.rfind(name + "=", 0) == 0) folder = argument.substr(name.size() + 1);
    }
  }
  if (folder.empty()) return "";
  const std::filesystem::path config = RunFolder::view(folder).config_path();
  std::error_code ignored;
  return std::filesystem::is_regular_file(config, ignored) ? config.string() : "";
}

}  // namespace

int infer_main(const std::vector<std::string>& arguments) {
  ArgumentVector words("infer", arguments);
  const std::string of_run = config_of_run(arguments);
  return job_main(words.count(), words.data(),
                  {.name = "titan infer",
                   .default_config = of_run.empty() ? kDefaultConfig : of_run,
                   .leading_words = 1,
                   .run = infer});
}

}  // namespace titan
