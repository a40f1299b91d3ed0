#include "titan/checkpoint/checkpoint_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStepPrefix = "step-";
constexpr const char* kTemporaryPrefix = ".tmp-";
constexpr const char* kAbandonedPrefix = ".abandoned-";

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

/// -1 where the name is not a checkpoint's.
int64_t step_of_name(const std::string& name) {
  const std::string prefix = kStepPrefix;
  if (!starts_with(name, prefix) || name.size() < prefix.size() + 6) return -1;
  int64_t step = -1;
  const auto [end, error] =
      std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole && step >= 0 && step_folder_name(step) == name ? step : -1;
}

Status rename_durably(const std::string& from, const std::string& to, const std::string& folder) {
  if (std::rename(from.c_str(), to.c_str()) != 0)
    return errno_status(errno, "rename a checkpoint to", to);
  return fsync_directory(folder);
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? errno_status(error.value(), "remove", path) : ok_status();
}

}  // namespace

std::string step_folder_name(int64_t step) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "%s%06lld", kStepPrefix, static_cast<long long>(step));
  return name.data();
}

std::string rank_file_name(int64_t rank) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "rank-%05lld.safetensors", static_cast<long long>(rank));
  return name.data();
}

std::string CheckpointFolder::step_path(int64_t step) const {
  return path_ + "/" + step_folder_name(step);
}

std::string CheckpointFolder::temporary_path(int64_t step) const {
  return path_ + "/" + kTemporaryPrefix + step_folder_name(step);
}

StatusOr<std::vector<int64_t>> CheckpointFolder::steps() const {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error)) {
    const int64_t step = step_of_name(entry->path().filename().string());
    if (step >= 0) steps.push_back(step);
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return errno_status(error.value(), "read folder", path_);
  std::sort(steps.begin(), steps.end());
  return steps;
}

Status CheckpointFolder::prepare() const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) return errno_status(error.value(), "make folder", path_);
  std::vector<std::string> leftovers;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error))
    if (starts_with(entry->path().filename().string(), kTemporaryPrefix))
      leftovers.push_back(entry->path().string());
  if (error) return errno_status(error.value(), "read folder", path_);
  for (const std::string& leftover : leftovers) {
    TITAN_LOG(INFO) << "[checkpoint] removing " << leftover
                    << ", left unfinished by an earlier run";
    TITAN_RETURN_IF_ERROR(remove_tree(leftover));
  }
  return ok_status();
}

Status CheckpointFolder::publish(int64_t step) const {
  const std::string from = temporary_path(step);
  const std::string to = step_path(step);
  TITAN_RETURN_IF_ERROR(fsync_directory(from));
  if (!fs::exists(to)) return rename_durably(from, to, path_);
  // The checkpoint that stands there gives way in one step: at no moment is there none.
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    TITAN_RETURN_IF_ERROR(fsync_directory(path_));
    return remove_tree(from);
  }
  // A file system without exchange: the old one is hidden, not removed, until the new one has its
  // name.
  TITAN_RETURN_IF_ERROR(abandon(step));
  return rename_durably(from, to, path_);
}

Status CheckpointFolder::remove(int64_t step) const {
  const std::string hidden = path_ + "/" + kTemporaryPrefix + "remove-" + step_folder_name(step);
  TITAN_RETURN_IF_ERROR(remove_tree(hidden));
  TITAN_RETURN_IF_ERROR(rename_durably(step_path(step), hidden, path_));
  return remove_tree(hidden);
}

Status CheckpointFolder::abandon(int64_t step) const {
  const std::string stem = path_ + "/" + kAbandonedPrefix + step_folder_name(step);
  std::string target = stem;
  for (int number = 2; fs::exists(target); ++number) target = str_cat(stem, "-", number);
  return rename_durably(step_path(step), target, path_);
}

}  // namespace titan::checkpoint
