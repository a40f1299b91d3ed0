// tar_scan.h: the members of an uncompressed tar (v7, ustar, PAX, GNU), found by walking its
// headers; data is skipped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"

namespace titan {

/// A regular file inside a tar.
struct TarMember {
  std::string name;
  std::uint64_t offset = 0;  ///< of its first data byte in the tar
  std::uint64_t size_bytes = 0;
};

struct TarScan {
  std::vector<TarMember>
      members;         ///< complete regular files in stored order; links, folders, devices left out
  std::string damage;  ///< empty, or why the walk ended before the end of the archive
  std::string
      damaged_member;  ///< the member whose data is cut off, if its header could still be read
};

/// True if these 512 bytes are a tar header with a right checksum (or the zero block that ends an
/// archive).
bool is_tar_header(const char* block);

/// Walks `size_bytes` of `file`. Damage after the first header ends the walk and is reported in the
/// result; a file that does not begin as a tar, or is empty, is kDataLoss. `path` serves messages
/// only.
StatusOr<TarScan> scan_tar(const FileDescriptor& file, std::uint64_t size_bytes,
                           const std::string& path);

}  // namespace titan
