#include "titan/io/file_descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "titan/io/errno_status.h"

namespace titan {

FileDescriptor::~FileDescriptor() { close(); }

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

int FileDescriptor::close() {
  if (fd_ < 0) return 0;
  // EINTR from close(2) leaves the descriptor closed on Linux: never repeat it.
  const int result = ::close(std::exchange(fd_, -1));
  return result == 0 || errno == EINTR ? 0 : errno;
}

StatusOr<FileDescriptor> FileDescriptor::open_for_reading(const std::string& path) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang; it has no effect on regular files.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return errno_status(errno, "open", path);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_status(errno, "inspect", path);
  if (!S_ISREG(info.st_mode))
    return invalid_argument("[io] cannot read ", path, ": it is not a regular file");
  return file;
}

StatusOr<FileStamp> file_stamp(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno_status(errno, "inspect", path);
  return FileStamp{.size_bytes = static_cast<std::uint64_t>(info.st_size),
                   .modified_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec};
}

Status read_exactly(const FileDescriptor& file, std::uint64_t offset, void* out, std::size_t size,
                    const std::string& path) {
  auto* cursor = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t count = ::pread(file.get(), cursor, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_status(errno, "read", path);
    if (count == 0)
      return data_loss("[io] ", path, " ends at byte ", offset, ", ", size, " bytes are missing");
    cursor += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return ok_status();
}

StatusOr<std::string> read_file(const std::string& path, std::uint64_t max_bytes) {
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file, FileDescriptor::open_for_reading(path));
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  if (stamp.size_bytes > max_bytes)
    return data_loss("[io] ", path, " is too large (", stamp.size_bytes, " bytes, at most ",
                     max_bytes, ")");
  std::string text(stamp.size_bytes, '\0');
  TITAN_RETURN_IF_ERROR(read_exactly(file, 0, text.data(), text.size(), path));
  return text;
}

}  // namespace titan
