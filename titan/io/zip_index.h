// zip_index.h: where the members of a zip archive lie, so that stored ones can be read in place.
// (libarchive streams them and does not say where they are.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// The bytes of a member in its archive: [offset, offset + size_bytes) lies within the file.
struct ZipMember {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;  ///< as it lies there
  bool is_stored = true;         ///< neither compressed nor encrypted
};

using ZipIndex = std::map<std::string, ZipMember>;

/// Whether the bytes begin as an archive does.
bool looks_like_zip(std::span<const std::byte> bytes);

/// Reads the central directory (APPNOTE.TXT 4.3, with zip64 for more than 4 GB). kDataLoss for
/// anything that leaves the file, a name that appears twice, archives in several parts.
StatusOr<ZipIndex> read_zip_index(std::span<const std::byte> bytes);

}  // namespace titan
