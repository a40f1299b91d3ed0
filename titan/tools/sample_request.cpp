#include "titan/tools/sample_request.h"

#include <algorithm>
#include <utility>

#include "titan/config/loader.h"
#include "titan/train/prompt_file.h"
#include "titan/train/run_folder.h"

namespace titan {
namespace {

/// Takes the texts of --prompt, which comes any number of times, out of `args`.
StatusOr<std::vector<std::string>> take_prompts(std::vector<std::string>& args) {
  std::vector<std::string> prompts, others;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i].starts_with("--prompt=")) {
      prompts.push_back(args[i].substr(args[i].find('=') + 1));
    } else if (args[i] != "--prompt") {
      others.push_back(args[i]);
    } else if (i + 1 < args.size()) {
      prompts.push_back(args[++i]);
    } else {
      return invalid_argument("[sample] --prompt needs a text");
    }
  }
  args = std::move(others);
  return prompts;
}

bool sets_count(const std::string& setting) {
  const std::string name = setting.substr(0, setting.find('='));
  return name == "--sampling.num_samples" || name == "--sampling.num-samples";
}

Status add_prompts_of_file(SampleRequest& request) {
  if (!request.options.has("prompts")) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const PromptFile file,
                         read_prompt_file(request.options.text("prompts", "")));
  request.prompts.insert(request.prompts.end(), file.prompts.begin(), file.prompts.end());
  return ok_status();
}

}  // namespace

StatusOr<SampleRequest> read_sample_request(std::vector<std::string> args) {
  TITAN_ASSIGN_OR_RETURN(std::vector<std::string> prompts, take_prompts(args));
  SplitArguments parts = split_settings(args);
  const bool check = std::erase(parts.own, "--check-shapes") > 0;
  TITAN_ASSIGN_OR_RETURN(Arguments options,
                         Arguments::parse(parts.own, {"step", "weights", "output", "pictures",
                                                      "encodings", "latents", "prompts"}));
  if (options.words().size() != 1)
    return invalid_argument("[sample] one run folder is needed; titan sample --help");
  SampleRequest request{.options = std::move(options),
                        .config = {},
                        .info = {},
                        .run = {},
                        .check_shapes = check,
                        .prompts = {}};
  request.run = request.options.words().front();
  request.prompts = std::move(prompts);
  request.count_given = std::any_of(parts.settings.begin(), parts.settings.end(), sets_count);
  TITAN_RETURN_IF_ERROR(add_prompts_of_file(request));
  const RunFolder folder = RunFolder::view(request.run);
  parts.settings.insert(parts.settings.begin(), "--config=" + folder.config_path().string());
  TITAN_ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(parts.settings));
  request.config = std::move(loaded.config);
  TITAN_ASSIGN_OR_RETURN(request.info, read_run_info(folder));
  return request;
}

}  // namespace titan
