// file_reader.h: parts of one file of a checkpoint, copied and verified in one pass. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"

namespace titan::checkpoint {

/// Bytes of a file that are wanted, and where they go.
struct FileRange {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
  std::byte* out = nullptr;
};

/// Which of the blocks that it reads a rank verifies, where several ranks of a host read the same.
struct VerifyShare {
  std::uint64_t index = 0;
  std::uint64_t count = 1;
};

/// The file is there and as long as the index says; names it otherwise (kNotFound, kDataLoss).
Status check_size(const std::string& path, const StoredFile& expected);

/// Verifies the blocks that hold bytes [0, end), or the whole file where it has no blocks.
Status verify_head(const std::string& path, const StoredFile& expected, std::uint64_t end);

/// Verifies every byte, on `threads` threads.
Status verify_all(const std::string& path, const StoredFile& expected, int threads = 1);

/// Copies the ranges on `threads` threads; only blocks with wanted bytes are read, each is hashed
/// while it is in the cache, if it is in `share`. kDataLoss names file and bytes that are damaged:
/// then `out` holds what was read. A file without blocks is verified as a whole first.
Status read_ranges(const std::string& path, const StoredFile& expected,
                   std::vector<FileRange> ranges, int threads = 1, VerifyShare share = {});

}  // namespace titan::checkpoint
