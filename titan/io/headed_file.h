// headed_file.h: a file whose first bytes are known last (a header that names sizes).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"

namespace titan {

/// Writes to `<path>.tmp-<pid>` behind a gap of `head_bytes`; finish() fills the gap, makes the
/// file durable and renames it onto `path`. Without it the temporary file is removed.
class HeadedFile {
 public:
  static StatusOr<std::unique_ptr<HeadedFile>> create(const std::string& path,
                                                      std::size_t head_bytes);
  ~HeadedFile();
  HeadedFile(const HeadedFile&) = delete;
  HeadedFile& operator=(const HeadedFile&) = delete;

  Status append(const void* data, std::size_t size_bytes);
  /// Bytes behind the head so far.
  std::uint64_t size() const { return size_; }
  /// `head` has exactly head_bytes. Once.
  Status finish(const std::string& head);

 private:
  HeadedFile(std::string path, std::string temporary, FileDescriptor file, std::size_t head_bytes);
  Status write_at(std::uint64_t offset, const void* data, std::size_t size_bytes);

  std::string path_;
  std::string temporary_;  ///< empty once finished
  FileDescriptor file_;
  std::size_t head_bytes_;
  std::uint64_t size_ = 0;
};

}  // namespace titan
