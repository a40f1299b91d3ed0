// mapped_file.h: a file as read-only memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// Read-only memory map of a whole file, unmapped on destruction. Move-only. The file must not be
/// shortened while mapped (the kernel then raises SIGBUS): replace files by renaming, never in
/// place.
class MappedFile {
 public:
  /// How the bytes will be read; passed to madvise(2).
  enum class Access : std::uint8_t { kNormal, kSequential, kRandom };

  /// Maps the file; errors name the path.
  static StatusOr<MappedFile> open(const std::string& path, Access access = Access::kNormal);

  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;             ///< `other` is then empty
  MappedFile& operator=(MappedFile&& other) noexcept;  ///< `other` is then empty

  const std::byte* data() const { return data_; }                      ///< first byte
  std::size_t size() const { return size_; }                           ///< bytes
  std::span<const std::byte> bytes() const { return {data_, size_}; }  ///< all of it
  const std::string& path() const { return path_; }                    ///< of the file

  /// Asks the kernel to read this range soon. A hint: failures are ignored.
  void prefetch(std::size_t offset, std::size_t size_bytes) const;
  /// Has the range read and mapped now, in large pieces. A part that cannot be read is an error
  /// here (kUnavailable from a failing disk, kDataLoss for a file that has been shortened) and
  /// SIGBUS without this call. Linux before 5.14 only gets the hint.
  Status populate(std::size_t offset, std::size_t size_bytes) const;
  /// Takes the pages around this range out of the process' memory (they stay in the system's file
  /// cache); reading them again is allowed. For passes over files larger than the memory.
  void release(std::size_t offset, std::size_t size_bytes) const;

 private:
  void unmap();
  int advise(std::size_t offset, std::size_t size_bytes, int advice) const;

  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace titan
