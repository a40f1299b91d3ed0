#include "titan/config/find_config.h"

#include <dlfcn.h>

#include <algorithm>
#include <system_error>

#include "titan/config/nearest.h"

namespace fs = std::filesystem;

namespace titan::config {
namespace {

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) && !fs::is_directory(path, ignored);
}

std::vector<std::string> config_names(const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  for (const fs::path& folder : folders) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->path().extension() == ".toml") names.push_back(entry->path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

std::vector<fs::path> train_config_folders() {
  std::vector<fs::path> folders = {"train_configs", fs::path(TITAN_SOURCE_DIR) / "train_configs"};
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path bin = executable.parent_path();
    folders.push_back(bin / "train_configs");
    folders.push_back(bin.parent_path() / "train_configs");
    folders.push_back(bin.parent_path() / "share/titan/train_configs");
  }
  // A program of somebody else that uses an installed titan.
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&train_config_folders), &self) != 0 && self.dli_fname) {
    const fs::path lib = fs::absolute(self.dli_fname, error).parent_path();
    folders.push_back(lib.parent_path() / "share/titan/train_configs");
  }
  return folders;
}

StatusOr<fs::path> find_config(const std::string& name, const std::vector<fs::path>& folders) {
  if (name.empty() || name.find('\0') != std::string::npos) {
    return invalid_argument("[config] --config needs a name or a path");
  }
  std::vector<fs::path> tried = {name, name + ".toml"};
  if (!fs::path(name).is_absolute()) {
    for (const fs::path& folder : folders) {
      tried.push_back(folder / name);
      tried.push_back(folder / (name + ".toml"));
    }
  }
  for (const fs::path& path : tried) {
    if (is_file(path)) return path;
  }
  const std::vector<std::string> names = config_names(folders);
  const std::string nearest = nearest_match(fs::path(name).stem().string(), names);
  std::string known;
  for (const std::string& one : names) known += (known.empty() ? "" : ", ") + one;
  return invalid_argument(
      "[config] no config file \"", name, "\"",
      nearest.empty() ? "" : "; did you mean " + nearest + "?",
      " (neither a path nor a file of train_configs; there: ", known.empty() ? "none" : known, ")");
}

}  // namespace titan::config
