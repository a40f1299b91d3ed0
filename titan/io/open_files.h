// open_files.h: a bounded set of open files: data sets have more tars than a process may have
// descriptors.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"

namespace titan {

/// Opens files on demand and keeps the last used ones open. Thread-safe.
class OpenFiles {
 public:
  explicit OpenFiles(std::size_t limit = 64) : limit_(limit) {}

  /// The file stays open as long as the caller holds the pointer.
  StatusOr<std::shared_ptr<const FileDescriptor>> get(const std::string& path);

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const FileDescriptor>>;
  std::size_t limit_;
  std::mutex mutex_;
  std::list<Entry> recent_;  ///< last used first
};

}  // namespace titan
