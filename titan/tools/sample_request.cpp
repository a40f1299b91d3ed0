#include "titan/tools/sample_request.h"

#include <algorithm>
#include <utility>

#include "titan/config/loader.h"
#include "titan/train/prompt_file.h"
#include "titan/train/run_folder.h"

namespace titan {
namespace {

/// `--section.key...` (settings, which keep their values), texts of --prompt, which comes any
/// number of times, and the verb's other options.
struct SplitArguments {
  std::vector<std::string> own;
  std::vector<std::string> settings;
  std::vector<std::string> prompts;
};
StatusOr<SplitArguments> split(const std::vector<std::string>& args) {
  SplitArguments out;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string name = args[i].substr(0, args[i].find('='));
    if (name == "--prompt") {
      const bool behind = name.size() == args[i].size();
      if (behind && i + 1 == args.size()) return invalid_argument("[sample] --prompt needs a text");
      out.prompts.push_back(behind ? args[++i] : args[i].substr(name.size() + 1));
      continue;
    }
    const bool is_setting = name.rfind("--", 0) == 0 && name.find('.') != std::string::npos;
    (is_setting ? out.settings : out.own).push_back(args[i]);
  }
  return out;
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

StatusOr<SampleRequest> read_sample_request(const std::vector<std::string>& args) {
  TITAN_ASSIGN_OR_RETURN(SplitArguments parts, split(args));
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
  request.prompts = std::move(parts.prompts);
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
