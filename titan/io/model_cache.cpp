#include "titan/io/model_cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "models--";

bool is_folder(const fs::path& path) {
  std::error_code none;
  return fs::is_directory(path, none);
}

/// Names of the folders inside, sorted.
std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// "a/b" as it is named in a cache.
std::string cached_name(const std::string& id) {
  std::string name = kPrefix;
  for (const char c : id) name += c == '/' ? std::string("--") : std::string(1, c);
  return name;
}

StatusOr<std::string> snapshot_of(const fs::path& model) {
  const fs::path snapshots = model / "snapshots";
  if (const auto named = read_file((model / "refs" / "main").string(), /*max_bytes=*/256);
      named.ok()) {
    std::string revision = *named;
    while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back())))
      revision.pop_back();
    const bool plain = !revision.empty() && revision.find_first_of("/.") == std::string::npos;
    if (plain && is_folder(snapshots / revision)) return (snapshots / revision).string();
  }
  const std::vector<std::string> revisions = folders_in(snapshots);
  if (revisions.size() == 1) return (snapshots / revisions.front()).string();
  if (revisions.empty())
    return not_found("[weights] ", model.string(), " is a cache without a snapshot: the download ",
                     "did not end");
  return invalid_argument("[weights] ", model.string(),
                          " holds several snapshots and refs/main names none; name one of them (",
                          listed(revisions), ")");
}

/// Of a folder of cached models.
StatusOr<std::string> only_model_in(const fs::path& cache, const std::string& role) {
  std::vector<std::string> models, fitting;
  for (const std::string& name : folders_in(cache)) {
    if (!name.starts_with(kPrefix)) continue;
    models.push_back(name);
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (!role.empty() && lower.find(role) != std::string::npos) fitting.push_back(name);
  }
  if (models.empty()) return cache.string();
  if (models.size() == 1) return snapshot_of(cache / models.front());
  if (fitting.size() == 1) return snapshot_of(cache / fitting.front());
  return invalid_argument("[weights] ", cache.string(),
                          " is a cache of several models; name one of them (", listed(models), ")");
}

std::vector<fs::path> caches() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (!variable(name).empty()) return {variable(name)};
  if (!variable("HF_HOME").empty()) return {variable("HF_HOME") / "hub"};
  if (!variable("XDG_CACHE_HOME").empty()) return {variable("XDG_CACHE_HOME") / "huggingface/hub"};
  if (!variable("HOME").empty()) return {variable("HOME") / ".cache/huggingface/hub"};
  return {};
}

/// "name" or "owner/name".
bool is_id(const std::string& path) {
  return !path.empty() && path.find_first_of("~\\") == std::string::npos && path.front() != '/' &&
         path.front() != '.' && std::count(path.begin(), path.end(), '/') <= 1;
}

}  // namespace

StatusOr<std::string> resolve_model_path(const std::string& path, const std::string& role) {
  std::error_code error;
  fs::path place = path;
  if (!place.has_filename() && place.has_parent_path()) place = place.parent_path();  // "x/"
  const fs::file_status status = fs::status(place, error);
  if (fs::is_directory(status)) {
    if (is_folder(place / "snapshots")) return snapshot_of(place);
    return only_model_in(place, role);
  }
  if (status.type() != fs::file_type::not_found) return path;  // what is wrong is said on opening
  std::vector<fs::path> looked;
  const fs::path owner = place.parent_path();
  if (owner.has_parent_path())
    looked.push_back(owner.parent_path() /
                     cached_name((owner.filename() / place.filename()).string()));
  if (place.has_parent_path()) looked.push_back(owner / cached_name(place.filename().string()));
  if (is_id(path))
    for (const fs::path& cache : caches()) looked.push_back(cache / cached_name(path));
  for (const fs::path& model : looked)
    if (is_folder(model)) return snapshot_of(model);
  std::vector<std::string> names;
  for (const fs::path& model : looked) names.push_back(model.string());
  return not_found("[weights] ", path, " does not exist",
                   names.empty() ? "" : "; as a model's id it was looked for as " + listed(names));
}

}  // namespace titan
