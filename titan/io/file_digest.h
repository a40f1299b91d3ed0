// file_digest.h: checksums that others have written down about a file, compared with its bytes.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// What a file's bytes have to give.
struct FileDigest {
  std::string
      algorithm;    ///< as Python names it: "sha1", "sha3_256", "blake2b", "xxh64", "xxh3_128"
  std::string hex;  ///< lower case
};

/// True for those of Python's hashlib of a fixed length, and xxh32, xxh64, xxh3_64, xxh128,
/// xxh3_128.
bool is_known_digest(const std::string& algorithm);

/// Reads the file once per digest of a known algorithm; others are passed by. kFailedPrecondition
/// where one differs: "its sha1 is A, not B"; the caller names file and source.
Status check_digests(const std::string& path, const std::vector<FileDigest>& digests);

}  // namespace titan
