#include "titan/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/io/errno_status.h"

namespace titan {

AtomicFile::AtomicFile(std::string path, std::string temporary, FileDescriptor file)
    : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

StatusOr<AtomicFile> AtomicFile::create(const std::string& path) {
  // O_EXCL with a running number: two writers of one path (two processes of one pid namespace each,
  // or two threads) never share a temporary file.
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string temporary =
        str_cat(path, ".tmp-", ::getpid(), attempt == 0 ? "" : str_cat("-", attempt));
    FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.is_open()) return AtomicFile(path, temporary, std::move(file));
    if (errno != EEXIST) return errno_status(errno, "create", path);
  }
  return errno_status(EEXIST, "create a temporary file beside", path);
}

Status AtomicFile::write(const void* data, std::size_t size_bytes) {
  const auto* cursor = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const ssize_t count = ::write(file_.get(), cursor, size_bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_status(errno, "write", path_);
    cursor += count;
    size_bytes -= static_cast<std::size_t>(count);
  }
  return ok_status();
}

Status AtomicFile::commit() {
  TITAN_CHECK(!temporary_.empty(), "[io] a file is committed once (", path_, ")");
  if (::fsync(file_.get()) != 0) return errno_status(errno, "write to disk", path_);
  if (const int error = file_.close(); error != 0) return errno_status(error, "close", path_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    return errno_status(errno, "rename a temporary file to", path_);
  temporary_.clear();
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  return fsync_directory(folder.empty() ? "." : folder);
}

Status write_file_atomically(const std::string& path, const std::string& contents) {
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  TITAN_RETURN_IF_ERROR(file.write(contents.data(), contents.size()));
  return file.commit();
}

Status fsync_directory(const std::string& folder) {
  const FileDescriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) return errno_status(errno, "open folder", folder);
  // Some network file systems cannot fsync a folder and say EINVAL; there is nothing more to do
  // then.
  if (::fsync(file.get()) != 0 && errno != EINVAL)
    return errno_status(errno, "write to disk the folder", folder);
  return ok_status();
}

}  // namespace titan
