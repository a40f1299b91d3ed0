#include "titan/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "titan/io/errno_status.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Where a path leads: symbolic links are followed, to a target too that is not there yet.
struct Place {
  fs::path path;
  std::optional<int> descriptor;  ///< the path names one that this process has open
};

/// N of /dev/fd/N and /proc/self/fd/N, where /dev/stdout leads.
std::optional<int> descriptor_of(const fs::path& path) {
  const fs::path folder = path.parent_path();
  if (folder != "/dev/fd" && folder != "/proc/self/fd") return std::nullopt;
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

StatusOr<Place> place_of(const std::string& path) {
  constexpr int kMostLinks = 40;  // as many as Linux follows
  fs::path place = path;
  for (int links = 0; links < kMostLinks; ++links) {
    if (const std::optional<int> descriptor = descriptor_of(place))
      return Place{.path = path, .descriptor = descriptor};
    std::error_code error;
    const fs::path target = fs::read_symlink(place, error);
    if (error) return Place{.path = place, .descriptor = {}};
    place = place.parent_path() / target;  // an absolute target stands alone
  }
  return errno_status(ELOOP, "follow", path);
}

/// Pipes and devices stay what they are: a new file in their place would be no message to whoever
/// reads there, and as root would take /dev/null from the machine.
bool stays_in_place(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

}  // namespace

AtomicFile::AtomicFile(std::string path, std::string temporary, FileDescriptor file)
    : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

StatusOr<AtomicFile> AtomicFile::create(const std::string& asked) {
  TITAN_ASSIGN_OR_RETURN(const Place place, place_of(asked));
  if (place.descriptor || stays_in_place(place.path)) {
    // A copy of the descriptor goes on where its other writers are, in a redirected file too.
    FileDescriptor file(place.descriptor
                            ? ::fcntl(*place.descriptor, F_DUPFD_CLOEXEC, 0)
                            : ::open(place.path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
    if (!file.is_open()) return errno_status(errno, "write to", asked);
    return AtomicFile(asked, /*temporary=*/"", std::move(file));
  }
  const std::string path = place.path.string();
  // O_EXCL with a running number: two writers of one path (two processes of one pid namespace each,
  // or two threads) never share a temporary file.
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string temporary =
        str_cat(path, ".tmp-", ::getpid(), attempt == 0 ? "" : str_cat("-", attempt));
    FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.is_open()) return AtomicFile(path, temporary, std::move(file));
    if (errno != EEXIST) return errno_status(errno, "create", path);
  }
  return errno_status(EEXIST, "create a temporary file beside", path);
}

Status AtomicFile::write(const void* data, std::size_t size_bytes) {
  const auto* cursor = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const ssize_t count = ::write(file_.get(), cursor, size_bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_status(errno, "write", path_);
    cursor += count;
    size_bytes -= static_cast<std::size_t>(count);
  }
  return ok_status();
}

Status AtomicFile::commit() {
  TITAN_CHECK(file_.is_open(), "[io] a file is committed once (", path_, ")");
  if (temporary_.empty()) {  // written straight through: nothing to keep or to rename
    const int error = file_.close();
    return error == 0 ? ok_status() : errno_status(error, "close", path_);
  }
  if (::fsync(file_.get()) != 0) return errno_status(errno, "write to disk", path_);
  if (const int error = file_.close(); error != 0) return errno_status(error, "close", path_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    return errno_status(errno, "rename a temporary file to", path_);
  temporary_.clear();
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  return fsync_directory(folder.empty() ? "." : folder);
}

Status write_file_atomically(const std::string& path, const std::string& contents) {
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  TITAN_RETURN_IF_ERROR(file.write(contents.data(), contents.size()));
  return file.commit();
}

Status fsync_directory(const std::string& folder) {
  const FileDescriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) return errno_status(errno, "open folder", folder);
  // Some network file systems cannot fsync a folder and say EINVAL; there is nothing more to do
  // then.
  if (::fsync(file.get()) != 0 && errno != EINVAL)
    return errno_status(errno, "write to disk the folder", folder);
  return ok_status();
}

}  // namespace titan
