// file_descriptor.h: owns an open file; whole reads at an offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// An open file descriptor, closed on destruction. Move-only.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}  ///< takes it over
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept;             ///< `other` is then closed
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;  ///< `other` is then closed

  /// Opens an existing regular file for reading; a folder or device is an error.
  static StatusOr<FileDescriptor> open_for_reading(const std::string& path);

  int get() const { return fd_; }            ///< -1 = closed
  bool is_open() const { return fd_ >= 0; }  ///< holds one
  /// Closes now; returns 0 or the errno of close(2) (network file systems report late write errors
  /// there).
  int close();

 private:
  int fd_ = -1;
};

/// Size and modification time of a file.
struct FileStamp {
  std::uint64_t size_bytes = 0;  ///< of the file
  std::int64_t modified_ns = 0;  ///< since 1970
  /// The same state of a file, most likely.
  bool operator==(const FileStamp&) const = default;
};
/// Errors name the path.
StatusOr<FileStamp> file_stamp(const std::string& path);

/// Reads exactly `size` bytes at `offset` into `out`, thread-safe; an early end of file is
/// kDataLoss. `path` serves messages only.
Status read_exactly(const FileDescriptor& file, std::uint64_t offset, void* out, std::size_t size,
                    const std::string& path);

/// The whole file as text. An error if it is larger than `max_bytes`.
StatusOr<std::string> read_file(const std::string& path, std::uint64_t max_bytes = 1ULL << 30);

}  // namespace titan
