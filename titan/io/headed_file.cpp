#include "titan/io/headed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"

namespace titan {

HeadedFile::HeadedFile(std::string path, std::string temporary, FileDescriptor file,
                       std::size_t head_bytes)
    : path_(std::move(path)),
      temporary_(std::move(temporary)),
      file_(std::move(file)),
      head_bytes_(head_bytes) {}

HeadedFile::~HeadedFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

StatusOr<std::unique_ptr<HeadedFile>> HeadedFile::create(const std::string& path,
                                                         std::size_t head_bytes) {
  const std::string temporary = str_cat(path, ".tmp-", ::getpid());
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file.is_open()) return errno_status(errno, "create", path);
  return std::unique_ptr<HeadedFile>(new HeadedFile(path, temporary, std::move(file), head_bytes));
}

Status HeadedFile::write_at(std::uint64_t offset, const void* data, std::size_t size_bytes) {
  const auto* cursor = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const ssize_t count = ::pwrite(file_.get(), cursor, size_bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_status(errno, "write", path_);
    cursor += count;
    offset += static_cast<std::uint64_t>(count);
    size_bytes -= static_cast<std::size_t>(count);
  }
  return ok_status();
}

Status HeadedFile::append(const void* data, std::size_t size_bytes) {
  TITAN_RETURN_IF_ERROR(write_at(head_bytes_ + size_, data, size_bytes));
  size_ += size_bytes;
  return ok_status();
}

Status HeadedFile::finish(const std::string& head) {
  TITAN_CHECK(head.size() == head_bytes_ && !temporary_.empty(),
              "[io] a head of the announced size, once (", path_, ")");
  TITAN_RETURN_IF_ERROR(write_at(0, head.data(), head.size()));
  if (::fsync(file_.get()) != 0) return errno_status(errno, "write to disk", path_);
  if (const int error = file_.close(); error != 0) return errno_status(error, "close", path_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    return errno_status(errno, "rename a temporary file to", path_);
  temporary_.clear();
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  return fsync_directory(folder.empty() ? "." : folder);
}

}  // namespace titan
