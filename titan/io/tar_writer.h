// tar_writer.h: a tar archive (POSIX ustar) written member by member, the same bytes for the same
// members.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "titan/base/status.h"
#include "titan/io/atomic_file.h"

namespace titan {

class TarWriter {
 public:
  /// The archive appears at `path`, whole, when finish() has succeeded.
  static StatusOr<TarWriter> create(const std::string& path);

  /// Appends a regular file. Names are at most 100 bytes (kInvalidArgument).
  Status add(const std::string& name, const void* data, std::size_t size_bytes);
  Status add(const std::string& name, const std::string& text) {
    return add(name, text.data(), text.size());
  }

  /// Writes the end and commits. Once.
  Status finish();

 private:
  explicit TarWriter(AtomicFile file) : file_(std::move(file)) {}
  Status flush();

  AtomicFile file_;
  std::string pending_;  ///< not yet handed to the file: members are small, writes should not be
};

}  // namespace titan
