#include "titan/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/io/errno_status.h"

namespace titan {
namespace {

std::string host_name() {
  char name[256] = "unknown host";
  gethostname(name, sizeof name - 1);
  return name;
}

/// "host 1234": who holds the lock.
std::string holder_of(int lock) {
  char text[300] = {};
  const ssize_t count = pread(lock, text, sizeof text - 1, 0);
  return count > 0 ? std::string(text, static_cast<std::size_t>(count)) : "another process";
}

Status take_lock(int lock, const std::string& path, const std::string& setting) {
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_status(errno, "lock", path);
    return failed_precondition("[run] ", path, " belongs to a run that is still alive (",
                               holder_of(lock), "); wait for it, or choose another --", setting);
  }
  const std::string text = str_cat("host ", host_name(), ", pid ", getpid());
  if (ftruncate(lock, 0) != 0 ||
      pwrite(lock, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return errno_status(errno, "write", path);
  return ok_status();
}

}  // namespace

StatusOr<RunFolder> RunFolder::open(const std::filesystem::path& path, const std::string& setting) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return errno_status(error.value(), "make the run folder", path.string());
  const std::string lock_path = (path / ".lock").string();
  FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.is_open()) return errno_status(errno, "write", lock_path);
  TITAN_RETURN_IF_ERROR(take_lock(lock.get(), lock_path, setting));
  return RunFolder(path, std::move(lock));
}

std::filesystem::path RunFolder::sample_path(int64_t step, const std::string& folder) const {
  return path_ / folder / (checkpoint::step_folder_name(step) + ".png");
}

}  // namespace titan
