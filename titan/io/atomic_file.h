// atomic_file.h: files that appear whole or not at all, and survive a power cut once they have
// appeared.
#pragma once

#include <cstddef>
#include <string>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"

namespace titan {

/// Writes to `path`.tmp-`pid`; commit() fsyncs, renames onto `path` and fsyncs the folder.
/// Without a commit (an error, an exception) the temporary file is removed and what stood at `path`
/// stays. A symbolic link is followed: its target is replaced, the link stays. What exists and is
/// no regular file (a pipe, a device, /dev/stdout) is written to straight through, at once.
class AtomicFile {
 public:
  /// The folder must exist. Opening a pipe waits for its reader.
  static StatusOr<AtomicFile> create(const std::string& path);

  ~AtomicFile();
  /// Takes the file over; `other` is then committed or nothing.
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  /// Appends. A full disk is kResourceExhausted, a read-only place kPermissionDenied; the message
  /// names the path.
  Status write(const void* data, std::size_t size_bytes);
  /// Makes the file durable and visible. Once.
  Status commit();

  const std::string& path() const { return path_; }  ///< of the file to be

 private:
  AtomicFile(std::string path, std::string temporary, FileDescriptor file);

  std::string path_;
  std::string temporary_;  ///< empty once committed, moved from, or straight through
  FileDescriptor file_;
};

/// create, write, commit.
Status write_file_atomically(const std::string& path, const std::string& contents);

/// Makes renames and new files inside `folder` durable.
Status fsync_directory(const std::string& folder);

}  // namespace titan
