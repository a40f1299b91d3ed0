#include "titan/report/run_state.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>

#include "titan/io/file_descriptor.h"

namespace titan::report {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes kQuietFor(10);

/// A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; who waits has "->".
/// The device is left out of the comparison: on some file systems stat tells another one.
bool kernel_lists_lock(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return false;
  const std::string inode = ":" + std::to_string(file.st_ino) + " ";
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    if (line.find("FLOCK") == std::string::npos || line.find("->") != std::string::npos) continue;
    if (line.find(inode) != std::string::npos) return true;
  }
  return false;
}

bool is_young(const fs::path& path) {
  std::error_code error;
  const fs::file_time_type written = fs::last_write_time(path, error);
  return !error && fs::file_time_type::clock::now() - written < kQuietFor;
}

}  // namespace

const char* describe(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return "is being written";
    case RunState::kFinished:
      return "finished";
    case RunState::kStopped:
      return "stopped";
    case RunState::kFailed:
      return "failed";
    case RunState::kEnded:
      break;
  }
  return "ended without a last word";
}

bool is_locked(const fs::path& run) {
  const std::string lock = (run / ".lock").string();
  const StatusOr<std::string> holder = read_file(lock, /*max_bytes=*/4096);
  if (!holder.ok()) return false;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  if (holder->starts_with(std::string("host ") + host + ",")) return kernel_lists_lock(lock);
  return kernel_lists_lock(lock) || is_young(run / "metrics.jsonl");
}

}  // namespace titan::report
