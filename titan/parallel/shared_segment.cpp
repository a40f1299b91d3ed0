#include "titan/parallel/shared_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

constexpr const char* kOfferKey = "segment";
constexpr const char* kVerdictKey = "segment/verdict";

std::string answer_key(int rank) { return str_cat("segment/answer/", rank); }

/// A file descriptor that is closed.
struct Descriptor {
  int number = -1;
  Descriptor() = default;
  explicit Descriptor(int open) : number(open) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

/// Processes with the same text can open each other's descriptors in /proc.
std::string host_identity() {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  std::error_code error;
  const std::string name_space = std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  return boot + name_space;
}

std::string get(c10d::Store& store, const std::string& key) {
  const std::vector<std::uint8_t> value = store.get(key);
  return {value.begin(), value.end()};
}

std::string error_text(const char* call) { return str_cat(call, ": ", std::strerror(errno)); }

std::byte* map(int descriptor, std::size_t bytes) {
  void* const data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

/// An empty text, or why there is no such memory. Its pages are taken now: touched later, where
/// there is no room for them, they would end the process.
std::string create(Descriptor& file, std::size_t bytes) {
  file.number = ::memfd_create("titan-ranks", MFD_CLOEXEC);
  if (file.number < 0) return error_text("memfd_create");
  const int error = ::posix_fallocate(file.number, 0, static_cast<off_t>(bytes));
  return error == 0 ? "" : str_cat("posix_fallocate: ", std::strerror(error));
}

/// What rank 0 offers, as another rank opens it: an empty text, or why it cannot.
std::string accept(const std::string& offer, std::size_t bytes, Descriptor& file) {
  std::istringstream words(offer);
  std::string identity;
  int process = 0, descriptor = -1;
  if (!(words >> identity >> process >> descriptor)) return offer;  // rank 0's reason
  if (identity != host_identity()) return "it is on another host or in another container";
  const std::string path = str_cat("/proc/", process, "/fd/", descriptor);
  file.number = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file.number < 0) return error_text(path.c_str());
  struct stat found {};
  if (::fstat(file.number, &found) != 0 || static_cast<std::size_t>(found.st_size) != bytes)
    return str_cat(path, " is another file");
  return "";
}

}  // namespace

std::unique_ptr<SharedSegment> SharedSegment::open(c10d::Store& store, int rank, int size,
                                                   std::size_t bytes, std::string& reason) {
  Descriptor file;  // rank 0's stays open until every rank has answered
  std::byte* data = nullptr;
  reason = rank == 0 ? create(file, bytes) : accept(get(store, kOfferKey), bytes, file);
  if (reason.empty()) {
    data = map(file.number, bytes);
    if (data == nullptr) reason = error_text("mmap");
  }
  if (rank == 0) {
    store.set(kOfferKey, reason.empty()
                             ? str_cat(host_identity(), " ", ::getpid(), " ", file.number)
                             : reason);
    for (int r = 1; r < size; ++r) {
      const std::string answer = get(store, answer_key(r));
      if (reason.empty() && answer != "ok") reason = str_cat("rank ", r, ": ", answer);
    }
    store.set(kVerdictKey, reason.empty() ? std::string("ok") : reason);
  } else {
    store.set(answer_key(rank), reason.empty() ? std::string("ok") : reason);
    const std::string verdict = get(store, kVerdictKey);
    reason = verdict == "ok" ? "" : verdict;
  }
  if (reason.empty()) return std::unique_ptr<SharedSegment>(new SharedSegment(data, bytes));
  if (data != nullptr) ::munmap(data, bytes);
  return nullptr;
}

SharedSegment::~SharedSegment() { ::munmap(data_, bytes_); }

}  // namespace titan::parallel
