// fuzz_target.h: what the fuzz targets share. A target is one file with one TITAN_FUZZ_INPUT(): it
// hands arbitrary bytes to a reader of files and uses whatever the reader accepts. Refusing is
// fine; a crash, a hang, an exception that is not documented, memory without bound or a value that
// breaks the reader's promise (TITAN_FUZZ_CHECK) is a finding.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#define TITAN_FUZZ_CHECK(condition)                                                        \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      std::fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                        \
    }                                                                                      \
  } while (false)

/// Begins a target's one function. libFuzzer knows it by its own name, one in a program; all of
/// them together are fuzz_test.cpp.
#ifdef TITAN_FUZZ_TEST
#define TITAN_FUZZ_INPUT(name) \
  extern "C" int titan_fuzz_##name(const std::uint8_t* data, std::size_t size)
#else
#define TITAN_FUZZ_INPUT(name) \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
#endif

namespace titan::fuzz {

/// Reads every byte, so that the sanitizer sees ranges that are not ours.
inline void touch(const void* data, std::size_t size) {
  static volatile unsigned char sum = 0;
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) sum = static_cast<unsigned char>(sum ^ bytes[i]);
}
inline void touch(const std::string& text) { touch(text.data(), text.size()); }

/// True where `inner` lies within `outer`.
inline bool within(std::span<const std::byte> inner, std::span<const std::byte> outer) {
  return inner.empty() || (inner.data() >= outer.data() &&
                           inner.data() + inner.size() <= outer.data() + outer.size());
}

/// A file in memory that readers open by its path; one for all inputs.
class MemoryFile {
 public:
  MemoryFile() : file_(::memfd_create("fuzz", 0)) {
    TITAN_FUZZ_CHECK(file_ >= 0);
    path_ = "/proc/self/fd/" + std::to_string(file_);
  }
  ~MemoryFile() { ::close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& fill(const void* data, std::size_t size) {
    TITAN_FUZZ_CHECK(::ftruncate(file_, 0) == 0);
    TITAN_FUZZ_CHECK(::pwrite(file_, data, size, 0) == static_cast<ssize_t>(size));
    return path_;
  }
  const std::string& path() const { return path_; }

 private:
  int file_;
  std::string path_;
};

/// Takes parts of an input off its front.
class Parts {
 public:
  Parts(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

  /// Up to the next byte 0xFF twice (or the end), without it: parts of text stay readable in the
  /// corpus.
  std::string next() {
    std::size_t end = 0;
    while (end < left_.size() &&
           !(left_[end] == 0xFF && end + 1 < left_.size() && left_[end + 1] == 0xFF))
      ++end;
    std::string part(reinterpret_cast<const char*>(left_.data()), end);
    left_ = left_.subspan(end < left_.size() ? end + 2 : end);
    return part;
  }
  bool empty() const { return left_.empty(); }
  std::string rest() const { return {reinterpret_cast<const char*>(left_.data()), left_.size()}; }

 private:
  std::span<const std::uint8_t> left_;
};

}  // namespace titan::fuzz
