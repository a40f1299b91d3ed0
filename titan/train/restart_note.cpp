#include "titan/train/restart_note.h"
#include "titan/base/environment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace titan {
namespace {

constexpr const char* kNumber = "TITAN_RESTART";
constexpr const char* kCause = "TITAN_RESTART_CAUSE";
constexpr const char* kMark = "TITAN_STEP_MARK";

}  // namespace

RestartNote restart_note() {
  return {.number = std::atoi(environment(kNumber).value_or("").c_str()),
          .cause = environment(kCause).value_or("")};
}

std::map<std::string, std::string> restart_variables(const RestartNote& note) {
  return {{kNumber, std::to_string(note.number)}, {kCause, note.cause}};
}

bool has_own_launcher() { return environment(kMark).has_value(); }

StatusOr<StepMark> StepMark::make() {
  StepMark mark;
  mark.file_ = memfd_create("titan-step", MFD_CLOEXEC);
  if (mark.file_ < 0)
    return internal_error("[launcher] no memory for the ranks' step: ", std::strerror(errno));
  mark.clear();
  return mark;
}

StepMark::~StepMark() {
  if (file_ >= 0) close(file_);
}

StepMark::StepMark(StepMark&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

StepMark& StepMark::operator=(StepMark&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

/// Ranks of another user or container than the launcher's do not get at it, and then do not write.
std::map<std::string, std::string> StepMark::variables() const {
  return {{kMark, str_cat("/proc/", getpid(), "/fd/", file_)}};
}

std::int64_t StepMark::read() const {
  std::int64_t step = 0;
  return pread(file_, &step, sizeof(step), 0) == sizeof(step) ? step : 0;
}

void StepMark::clear() {
  const std::int64_t none = 0;
  const ssize_t written = pwrite(file_, &none, sizeof(none), 0);
  (void)written;  // read() then finds nothing either
}

void StepMark::write(std::int64_t step) {
  static const int file = [] {
    const std::string path = environment(kMark).value_or("");
    return path.empty() ? -1 : open(path.c_str(), O_WRONLY | O_CLOEXEC);
  }();
  if (file < 0) return;
  const ssize_t written = pwrite(file, &step, sizeof(step), 0);
  (void)written;
}

}  // namespace titan
