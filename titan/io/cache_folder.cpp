#include "titan/io/cache_folder.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "titan/io/errno_status.h"

namespace titan {

StatusOr<std::string> cache_folder(const std::string& name) {
  std::filesystem::path root;
  const char* cache = std::getenv("TITAN_CACHE");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') {
    root = cache;
  } else if (home != nullptr && *home != '\0') {
    root = std::filesystem::path(home) / ".cache" / "titan";
  } else {
    return failed_precondition("[io] no cache folder: set TITAN_CACHE (HOME is not set)");
  }
  const std::filesystem::path folder = root / name;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return errno_status(error.value(), "make folder", folder.string());
  return folder.string();
}

}  // namespace titan
