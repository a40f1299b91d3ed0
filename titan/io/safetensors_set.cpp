#include "titan/io/safetensors_set.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "titan/base/printable.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/shard_index.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
constexpr const char* kIndexEnding = ".safetensors.index.json";
constexpr const char* kFileEnding = ".safetensors";

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() > ending.size() && text.ends_with(ending);
}

/// The file or index that `path` means.
StatusOr<std::string> resolve(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error && !(status.type() == fs::file_type::not_found))
    return errno_status(error.value(), "open", path);
  if (!fs::exists(status)) return not_found("[safetensors] ", path, " does not exist");
  if (!fs::is_directory(status)) return path;
  std::vector<std::string> files, indexes;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().string();
    if (ends_with(name, kIndexEnding)) indexes.push_back(name);
    if (ends_with(name, kFileEnding)) files.push_back(name);
  }
  if (error) return invalid_argument("[safetensors] cannot read ", path, ": ", error.message());
  if (indexes.size() == 1) return indexes.front();
  if (indexes.empty() && files.size() == 1) return files.front();
  const std::string transformer = (fs::path(path) / "transformer").string();
  if (indexes.empty() && files.empty() && fs::is_directory(transformer, error))
    return resolve(transformer);
  if (indexes.empty() && files.empty())
    return not_found("[safetensors] ", path, " holds no .safetensors file and no index");
  std::vector<std::string> names;
  std::sort(files.begin(), files.end());
  std::sort(indexes.begin(), indexes.end());
  for (const std::string& name : indexes.empty() ? files : indexes)
    names.push_back(fs::path(name).filename().string());
  return invalid_argument("[safetensors] ", path, " holds several ",
                          indexes.empty() ? "files without an index" : "indexes",
                          "; name one of them (", listed(names), ")");
}

}  // namespace

StatusOr<SafetensorsSet> SafetensorsSet::open(const std::string& path) {
  SafetensorsSet set;
  TITAN_ASSIGN_OR_RETURN(set.path_, resolve(path));
  if (ends_with(set.path_, kIndexEnding)) {
    TITAN_RETURN_IF_ERROR(set.open_shards(set.path_));
    return set;
  }
  TITAN_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(set.path_));
  for (const TensorEntry& entry : file.entries()) set.file_of_.emplace(entry.name, 0);
  set.files_.push_back(std::move(file));
  return set;
}

Status SafetensorsSet::open_shards(const std::string& index_path) {
  constexpr std::uintmax_t kMaxIndexBytes = 256 << 20;
  std::error_code error;
  const std::uintmax_t size = fs::file_size(index_path, error);
  if (!error && size > kMaxIndexBytes)
    return data_loss("[safetensors] ", index_path, " is too large for an index (", size, " bytes)");
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(index_path));
  StatusOr<ShardMap> index = parse_shard_index(text);
  if (!index.ok()) return data_loss("[safetensors] ", index_path, ": ", message_of(index.status()));
  std::set<std::string> names;
  for (const auto& [tensor, file] : *index) names.insert(file);
  const fs::path folder = fs::path(index_path).parent_path();
  std::vector<std::string> absent;
  for (const std::string& name : names)
    if (!fs::exists(folder / name, error)) absent.push_back(name);
  if (!absent.empty())
    return not_found("[safetensors] ", index_path,
                     ": files that are missing beside it: ", listed(absent));
  std::vector<std::string> doubled, unlisted, lost;
  for (const std::string& name : names) {
    TITAN_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open((folder / name).string()));
    for (const TensorEntry& entry : file.entries()) {
      const auto listed = index->find(entry.name);
      if (listed == index->end()) {
        unlisted.push_back(entry.name + " in " + name);
      } else if (listed->second != name || !file_of_.emplace(entry.name, files_.size()).second) {
        doubled.push_back(entry.name + " in " + name);
      }
    }
    files_.push_back(std::move(file));
  }
  for (const auto& [tensor, file] : *index)
    if (!file_of_.contains(tensor)) lost.push_back(tensor + " in " + file);
  std::string problems;
  if (!lost.empty()) problems += " tensors that are not where it says: " + listed(lost) + ";";
  if (!unlisted.empty()) problems += " tensors that it does not list: " + listed(unlisted) + ";";
  if (!doubled.empty())
    problems += " tensors in another file than listed: " + listed(doubled) + ";";
  if (problems.empty()) return ok_status();
  problems.pop_back();
  return data_loss("[safetensors] ", index_path, " does not fit its files:", problems);
}

std::vector<TensorSpec> SafetensorsSet::tensors() const {
  std::vector<TensorSpec> specs;
  for (const SafetensorsFile& file : files_)
    for (const TensorEntry& entry : file.entries())
      specs.push_back({entry.name, entry.type, entry.shape});
  return specs;
}

const TensorEntry* SafetensorsSet::find(const std::string& name) const {
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? nullptr : files_[found->second].find(name);
}

void SafetensorsSet::release(const TensorEntry& entry, std::size_t first_byte,
                             std::size_t size_bytes) const {
  files_[file_of_.at(entry.name)].file().release(entry.offset + first_byte, size_bytes);
}

}  // namespace titan
