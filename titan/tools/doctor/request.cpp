#include "titan/tools/doctor/request.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "titan/base/environment.h"
#include "titan/config/find_config.h"

namespace fs = std::filesystem;

namespace titan::doctor {
namespace {

/// The value of `--name`, taken out of `args` with it; "" where it is not there.
StatusOr<std::string> take(std::vector<std::string>& args, const std::string& name) {
  const std::string flag = "--" + name;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const bool joined = args[i].rfind(flag + "=", 0) == 0;
    if (!joined && args[i] != flag) continue;
    if (!joined && i + 1 == args.size())
      return invalid_argument("[doctor] ", flag, " needs a value");
    const std::string value = joined ? args[i].substr(flag.size() + 1) : args[i + 1];
    const auto at = args.begin() + static_cast<std::ptrdiff_t>(i);
    args.erase(at, at + (joined ? 1 : 2));
    if (value.empty()) return invalid_argument("[doctor] ", flag, " needs a value");
    return value;
  }
  return std::string();
}

Status check_writable(const std::string& path) {
  std::error_code error;
  const fs::path folder = fs::absolute(path, error).parent_path();
  if (fs::is_directory(path, error) || !fs::is_directory(folder, error) ||
      ::access(folder.c_str(), W_OK) != 0)
    return invalid_argument("[doctor] --json cannot be written there (", path, ")");
  return ok_status();
}

}  // namespace

StatusOr<Request> read_request(const std::vector<std::string>& args) {
  Request request;
  for (const std::string& word : args)
    if (word == "--help" || word == "-h") request.help = true;
  if (request.help) return request;
  std::vector<std::string> settings = args;
  TITAN_ASSIGN_OR_RETURN(request.json, take(settings, "json"));
  if (!request.json.empty()) TITAN_RETURN_IF_ERROR(check_writable(request.json));
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const auto is_key = [&](std::size_t at) { return settings[at].rfind("--", 0) == 0; };
    const bool is_value = i > 0 && is_key(i - 1) && settings[i - 1].find('=') == std::string::npos;
    if (!is_key(i) && !is_value)
      return invalid_argument("[doctor] what is \"", settings[i], "\"? titan doctor --help");
  }
  std::vector<std::string> rest = settings;
  TITAN_ASSIGN_OR_RETURN(std::string name, take(rest, "config"));
  if (name.empty()) {
    TITAN_ASSIGN_OR_RETURN(name, take(rest, "job.config_file"));
  }
  if (name.empty()) name = environment("CONFIG").value_or("");
  if (name.empty()) name = environment("CONFIG_FILE").value_or("");
  if (name.empty()) {
    if (rest.empty()) return request;
    // Settings alone: a job of defaults. Wrong ones are bad arguments.
    TITAN_ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(settings));
    request.job = std::move(loaded.config);
    request.job_name = loaded.config_name;
    return request;
  }
  TITAN_RETURN_IF_ERROR(config::find_config(name, config::train_config_folders()).status());
  StatusOr<LoadedConfig> loaded = load_config(settings);
  request.job_name = name;
  if (!loaded.ok()) {
    // The file alone is right: then it is the command line that is wrong.
    if (!rest.empty() && load_config({"--config", name}).ok()) return loaded.status();
    request.config_error = loaded.status();
    return request;
  }
  request.warnings = std::move(loaded->warnings);
  request.job_name = loaded->config_name;
  request.job = std::move(loaded->config);
  return request;
}

}  // namespace titan::doctor
