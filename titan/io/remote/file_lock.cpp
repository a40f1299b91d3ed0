#include "titan/io/remote/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "titan/io/errno_status.h"

namespace titan {
namespace {

StatusOr<FileDescriptor> open_lock(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file.is_open()) return errno_status(errno, "open the lock", path);
  return file;
}

int operation(LockKind kind) { return kind == LockKind::kShared ? LOCK_SH : LOCK_EX; }

}  // namespace

StatusOr<FileLock> FileLock::hold(const std::string& path, LockKind kind) {
  TITAN_ASSIGN_OR_RETURN(FileDescriptor file, open_lock(path));
  while (::flock(file.get(), operation(kind)) != 0)
    if (errno != EINTR) return errno_status(errno, "lock", path);
  return FileLock(std::move(file));
}

StatusOr<std::optional<FileLock>> FileLock::try_hold(const std::string& path, LockKind kind) {
  TITAN_ASSIGN_OR_RETURN(FileDescriptor file, open_lock(path));
  while (::flock(file.get(), operation(kind) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::optional<FileLock>();
    if (errno != EINTR) return errno_status(errno, "lock", path);
  }
  return std::optional<FileLock>(FileLock(std::move(file)));
}

void FileLock::touch() const {
  // Not the kernel's own "now", which moves in steps of some milliseconds.
  timespec times[2] = {};
  ::clock_gettime(CLOCK_REALTIME, &times[0]);
  times[1] = times[0];
  ::futimens(file_.get(), times);
}

}  // namespace titan
