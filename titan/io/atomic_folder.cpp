#include "titan/io/atomic_folder.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Removes `.tmp-<pid>` folders beside `target` whose writer is gone.
void remove_leftovers(const fs::path& target) {
  const std::string prefix = target.filename().string() + ".tmp-";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(target.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t pid = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), pid);
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), error);
  }
}

}  // namespace

StatusOr<AtomicFolder> AtomicFolder::create(const std::string& target) {
  std::error_code error;
  fs::path path = fs::absolute(target, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // a trailing slash
  if (fs::exists(path, error) && !(fs::is_directory(path, error) && fs::is_empty(path, error)))
    return failed_precondition("[io] the output exists already and is never overwritten (",
                               path.string(), "); choose another one or remove it");
  fs::create_directories(path.parent_path(), error);
  if (error) return errno_status(error.value(), "make folder", path.parent_path().string());
  remove_leftovers(path);
  const std::string temporary = str_cat(path.string(), ".tmp-", ::getpid());
  fs::create_directory(temporary, error);
  if (error) return errno_status(error.value(), "make folder", temporary);
  return AtomicFolder(path.string(), temporary);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::exchange(other.temporary_, {})) {}

Status AtomicFolder::commit() {
  TITAN_RETURN_IF_ERROR(fsync_directory(temporary_));
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0)
    return errno_status(errno, "move the finished folder to", target_);
  temporary_.clear();
  return fsync_directory(fs::path(target_).parent_path().string());
}

}  // namespace titan
