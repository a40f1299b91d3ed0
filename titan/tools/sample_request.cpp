#include "titan/tools/sample_request.h"

#include <utility>

#include "titan/config/loader.h"
#include "titan/train/run_folder.h"

namespace titan {
namespace {

/// Splits `--section.key...` (settings, which keep their values) from the verb's own options.
struct SplitArguments {
  std::vector<std::string> own;
  std::vector<std::string> settings;
};
SplitArguments split(const std::vector<std::string>& args) {
  SplitArguments out;
  for (const std::string& arg : args) {
    const std::string name = arg.substr(0, arg.find('='));
    const bool is_setting = name.rfind("--", 0) == 0 && name.find('.') != std::string::npos;
    (is_setting ? out.settings : out.own).push_back(arg);
  }
  return out;
}

}  // namespace

StatusOr<SampleRequest> read_sample_request(const std::vector<std::string>& args) {
  SplitArguments parts = split(args);
  const bool check = std::erase(parts.own, "--check-shapes") > 0;
  TITAN_ASSIGN_OR_RETURN(Arguments options,
                         Arguments::parse(parts.own, {"step", "weights", "output", "pictures",
                                                      "encodings", "latents"}));
  if (options.words().size() != 1)
    return invalid_argument("[sample] one run folder is needed; titan sample --help");
  SampleRequest request{
      .options = std::move(options), .config = {}, .info = {}, .run = {}, .check_shapes = check};
  request.run = request.options.words().front();
  const RunFolder folder = RunFolder::view(request.run);
  parts.settings.insert(parts.settings.begin(), "--config=" + folder.config_path().string());
  TITAN_ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(parts.settings));
  request.config = std::move(loaded.config);
  TITAN_ASSIGN_OR_RETURN(request.info, read_run_info(folder));
  return request;
}

}  // namespace titan
