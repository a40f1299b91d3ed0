#include "titan/tools/doctor/disk.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <utility>
#include <vector>

#include "titan/base/human.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"

namespace fs = std::filesystem;

namespace titan::doctor {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kBlock = 4 << 20;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string size(double bytes) { return human_bytes(bytes); }

std::string rate(std::int64_t bytes, double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f MiB/s",
                static_cast<double>(bytes) / (1 << 20) / std::max(seconds, 1e-9));
  return text;
}

/// A file that is gone with this object, however that ends.
class ProbeFile {
 public:
  explicit ProbeFile(const std::string& folder)
      : path_(folder + "/.titan-doctor-" + std::to_string(getpid())),
        file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
    if (!file_.is_open()) status_ = errno_status(errno, "write", path_);
  }
  ~ProbeFile() {
    if (file_.is_open()) ::unlink(path_.c_str());
  }
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;

  const Status& status() const { return status_; }

  Status write(std::int64_t bytes) {
    // No file system may find that it is all zeros.
    std::vector<std::uint32_t> block(kBlock / sizeof(std::uint32_t));
    std::uint32_t state = 1;
    for (std::uint32_t& word : block) word = state = state * 1664525U + 1013904223U;
    for (std::int64_t done = 0; done < bytes;) {
      const auto want = static_cast<std::size_t>(std::min<std::int64_t>(kBlock, bytes - done));
      const ssize_t wrote = ::write(file_.get(), block.data(), want);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return errno_status(errno, "write", path_);
      done += wrote;
    }
    return ::fsync(file_.get()) == 0 ? ok_status() : errno_status(errno, "fsync", path_);
  }

  Status read_again(std::int64_t bytes) {
    posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED);
    std::vector<char> block(kBlock);
    for (std::int64_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(file_.get(), block.data(), kBlock, done);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return errno_status(got < 0 ? errno : EIO, "read", path_);
      done += got;
    }
    return ok_status();
  }

 private:
  std::string path_;
  FileDescriptor file_;
  Status status_ = ok_status();
};

/// Regular files at `path`, the largest first. Looks at so many entries at most.
std::vector<std::pair<std::int64_t, std::string>> files_at(const std::string& path) {
  constexpr int kMost = 10'000;
  std::vector<std::pair<std::int64_t, std::string>> files;
  std::error_code error;
  if (fs::is_regular_file(path, error)) {
    files.emplace_back(static_cast<std::int64_t>(fs::file_size(path, error)), path);
    return files;
  }
  int seen = 0;
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator entry(path, options, error), end;
       !error && entry != end && seen < kMost; entry.increment(error), ++seen) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored))
      files.emplace_back(static_cast<std::int64_t>(entry->file_size(ignored)),
                         entry->path().string());
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

}  // namespace

std::string existing_part(const std::string& wanted) {
  std::error_code error;
  fs::path path = fs::absolute(wanted, error).lexically_normal();
  while (!path.empty() && !fs::exists(path, error) && path != path.root_path())
    path = path.parent_path();
  return path.string();
}

DiskFacts measure_disk(const std::string& folder, std::int64_t bytes) {
  DiskFacts disk;
  disk.folder = existing_part(folder);
  disk.tried_bytes = bytes;
  struct statvfs space {};
  if (statvfs(disk.folder.c_str(), &space) == 0)
    disk.free_bytes = static_cast<std::int64_t>(space.f_bavail * space.f_frsize);
  if (std::error_code error; !fs::is_directory(disk.folder, error)) {
    disk.status = failed_precondition("[io] ", disk.folder, " is not a folder");
    return disk;
  }
  ProbeFile file(disk.folder);
  disk.status = file.status();
  if (!disk.status.ok()) return disk;
  Clock::time_point start = Clock::now();
  disk.status = file.write(bytes);
  disk.write_s = seconds_since(start);
  if (!disk.status.ok()) return disk;
  start = Clock::now();
  disk.status = file.read_again(bytes);
  disk.read_s = seconds_since(start);
  return disk;
}

void judge_disk(const DiskFacts& disk, const CheckpointNeeds& needs, Section& section) {
  if (!disk.status.ok()) {
    section.fail("run folder", message_of(disk.status),
                 "choose a place with room that this user may write: --job.dump_folder");
    return;
  }
  section.ok("run folder", str_cat(disk.folder, ": written ", rate(disk.tried_bytes, disk.write_s),
                                   " (with fsync), read ", rate(disk.tried_bytes, disk.read_s)));
  const auto free = static_cast<double>(disk.free_bytes);
  if (!needs.enabled || needs.bytes <= 0) {
    section.ok("free space", size(free) + (needs.enabled ? "" : "; checkpoints are off"));
    return;
  }
  const std::int64_t fit = disk.free_bytes / needs.bytes;
  // One more than are kept: the oldest goes once the newest is complete.
  const std::int64_t wanted = needs.kept > 0 ? std::min(needs.kept + 1, needs.saved) : needs.saved;
  const double save_s = static_cast<double>(needs.bytes) * disk.write_s /
                        static_cast<double>(disk.tried_bytes) / needs.writers;
  const std::string text = str_cat(
      size(free), " hold ", fit, " checkpoints of ", size(static_cast<double>(needs.bytes)), " (",
      wanted, " are kept at most); one takes about ", human_duration(save_s), " at this speed");
  if (fit < std::min<std::int64_t>(2, wanted))
    section.fail("free space", text, "make room, or --job.dump_folder elsewhere");
  else if (fit < wanted)
    section.warn("free space", text,
                 str_cat("--checkpoint.keep_latest_k=", std::max<std::int64_t>(1, fit - 1),
                         " stays within it"));
  else
    section.ok("free space", text);
}

ReadFacts measure_reading(const std::string& path, std::int64_t bytes) {
  ReadFacts read;
  std::error_code error;
  if (!fs::exists(path, error)) {
    read.status = not_found("[io] ", path, " is not there");
    return read;
  }
  std::vector<char> block(kBlock);
  for (const auto& [length, name] : files_at(path)) {
    if (read.bytes >= bytes || length == 0) break;
    const FileDescriptor file(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) {
      read.status = errno_status(errno, "read", name);
      return read;
    }
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    const Clock::time_point start = Clock::now();
    for (std::int64_t at = 0; at < length && read.bytes < bytes;) {
      const ssize_t got = ::pread(file.get(), block.data(), kBlock, at);
      if (got < 0) {
        read.status = errno_status(errno, "read", name);
        return read;
      }
      if (got == 0) break;
      at += got;
      read.bytes += got;
    }
    read.seconds += seconds_since(start);
    ++read.files;
  }
  return read;
}

void judge_reading(const std::string& topic, const std::string& path, const ReadFacts& read,
                   Section& section) {
  if (!read.status.ok())
    section.fail(topic, message_of(read.status), "check the path and who may read it");
  else if (read.bytes == 0)
    section.warn(topic, path + " holds no file with anything in it", "check the path");
  else
    section.ok(topic, str_cat(path, ": read ", rate(read.bytes, read.seconds), " (",
                              size(static_cast<double>(read.bytes)), " of ", read.files,
                              read.files == 1 ? " file)" : " files)"));
}

}  // namespace titan::doctor
