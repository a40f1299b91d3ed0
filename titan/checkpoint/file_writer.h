// file_writer.h: one file of a checkpoint, written and hashed in one pass over memory. No torch.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"

namespace titan::checkpoint {

/// Bytes of a file; pieces follow each other without gaps.
struct FilePiece {
  std::uint64_t size_bytes = 0;
  const std::byte* data = nullptr;  ///< null: `copy` brings them (another device's memory)
  /// Copies [offset, offset + size) of the piece to `out`; called from one thread, in order.
  std::function<void(std::uint64_t offset, std::size_t size, std::byte* out)> copy = {};
};

struct FileWriteOptions {
  /// A second thread hashes while the first writes (a file cannot be written by two at once: the
  /// kernel holds its inode's lock).
  bool hash_beside = false;
  /// Checked at every piece of a quarter megabyte; true ends the writing with an error.
  const std::atomic<bool>* cancel = nullptr;
};

/// Blocks of this size are hashed by themselves: 34 bytes of index for each.
inline constexpr std::uint64_t kBlockBytes = std::uint64_t{4} << 20;

/// Writes the pieces to `path` and makes them durable. On an error (a full disk is
/// kResourceExhausted) no file is left. Returns size and checksums.
StatusOr<StoredFile> write_pieces(const std::string& path, const std::vector<FilePiece>& pieces,
                                  const FileWriteOptions& options = {});

}  // namespace titan::checkpoint
