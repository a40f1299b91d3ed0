// atomic_folder.h: a folder of files that appears whole or not at all.
#pragma once

#include <string>

#include "titan/base/status.h"

namespace titan {

/// Files are written into `<target>.tmp-<pid>`; commit() renames it onto `target`. Without a commit
/// it is removed. What an ended process left behind is removed by the next create().
class AtomicFolder {
 public:
  /// kFailedPrecondition where `target` exists and is not an empty folder: nothing is overwritten.
  /// Parents are made.
  static StatusOr<AtomicFolder> create(const std::string& target);
  ~AtomicFolder();
  AtomicFolder(AtomicFolder&& other) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) = delete;

  /// Where to write.
  const std::string& path() const { return temporary_; }
  Status commit();

 private:
  AtomicFolder(std::string target, std::string temporary)
      : target_(std::move(target)), temporary_(std::move(temporary)) {}

  std::string target_;
  std::string temporary_;  ///< empty once committed or moved from
};

}  // namespace titan
