#include "titan/config/mounted_folders.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace fs = std::filesystem;

namespace titan::config {
namespace {

bool lies_in(const std::string& path, const std::string& folder) {
  return path.compare(0, folder.size(), folder) == 0 &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string without_last_slashes(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

/// Every item of a list as it is typed: "a,b" and "[a, b]".
std::string resolve_list(const std::string& text) {
  std::string resolved;
  for (std::size_t at = 0; at < text.size();) {
    const bool between = text[at] == ',' || text[at] == '[' || text[at] == ']' || text[at] == ' ';
    const std::size_t end = between ? at + 1 : std::min(text.find_first_of(",[]", at), text.size());
    const std::string item = text.substr(at, end - at);
    resolved += between ? item : resolve_mounted_path(item);
    at = end;
  }
  return resolved;
}

}  // namespace

const std::vector<MountedFolder>& mounted_folders() {
  static const std::vector<MountedFolder> folders = {
      {"/dataset", "DATAROOT"}, {"/models", "MODELROOT"}, {"/logdir", "LOGDIR"}};
  return folders;
}

std::string resolve_mounted_path(const std::string& path,
                                 const std::vector<MountedFolder>& folders) {
  for (const MountedFolder& folder : folders) {
    if (!lies_in(path, folder.place)) continue;
    const char* value = std::getenv(folder.variable.c_str());
    if (value == nullptr || *value == '\0') return path;
    std::error_code error;
    if (fs::exists(path, error)) return path;
    const std::string root = without_last_slashes(value);
    if (fs::exists(folder.place, error) && !fs::is_directory(root, error)) return path;
    return root + path.substr(folder.place.size());
  }
  return path;
}

bool resolve_mounted_paths(ArgValue& value) {
  bool changed = false;
  for (ArgScalar& item : value.items) {
    auto* const raw = std::get_if<RawText>(&item);
    std::string* const text = raw != nullptr ? &raw->text : std::get_if<std::string>(&item);
    if (text == nullptr) continue;
    std::string resolved = raw != nullptr ? resolve_list(*text) : resolve_mounted_path(*text);
    changed = changed || resolved != *text;
    *text = std::move(resolved);
  }
  return changed;
}

}  // namespace titan::config
