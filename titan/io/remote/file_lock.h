// file_lock.h: locks among processes (and among threads: each lock is an open file of its own).
// The kernel lets go of them when a process dies, however it dies.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"

namespace titan {

enum class LockKind { kShared, kExclusive };

/// A held flock(2); released on destruction.
class FileLock {
 public:
  /// Waits. The file is made if absent and stays: removing it would let two holders in.
  static StatusOr<FileLock> hold(const std::string& path, LockKind kind);
  /// nullopt where somebody else holds it.
  static StatusOr<std::optional<FileLock>> try_hold(const std::string& path, LockKind kind);

  /// Sets the file's modification time to now.
  void touch() const;

 private:
  explicit FileLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace titan
