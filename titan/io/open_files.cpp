#include "titan/io/open_files.h"

#include <algorithm>

namespace titan {

StatusOr<std::shared_ptr<const FileDescriptor>> OpenFiles::get(const std::string& path) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(recent_.begin(), recent_.end(),
                                    [&](const Entry& entry) { return entry.first == path; });
    if (found != recent_.end()) {
      recent_.splice(recent_.begin(), recent_, found);
      return found->second;
    }
  }
  // Opened outside the lock: a slow file system then holds up this reader only. Two readers may
  // both open the file.
  TITAN_ASSIGN_OR_RETURN(FileDescriptor opened, FileDescriptor::open_for_reading(path));
  auto file = std::make_shared<const FileDescriptor>(std::move(opened));
  const std::lock_guard<std::mutex> lock(mutex_);
  recent_.emplace_front(path, file);
  if (recent_.size() > limit_) recent_.pop_back();
  return file;
}

}  // namespace titan
