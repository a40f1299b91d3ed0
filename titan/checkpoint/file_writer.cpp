#include "titan/checkpoint/file_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <thread>

#include "titan/base/hash.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"

namespace titan::checkpoint {
namespace {

// Fits into a core's second-level cache: what was written is hashed from there. Divides a block.
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;
// The disk starts on finished parts while the rest is written, so the last fsync has little to do.
constexpr std::uint64_t kFlushBytes = std::uint64_t{64} << 20;

std::uint64_t total_of(const std::vector<FilePiece>& pieces) {
  std::uint64_t total = 0;
  for (const FilePiece& piece : pieces) total += piece.size_bytes;
  return total;
}

/// Walks over the pieces in chunks of the file.
class Chunks {
 public:
  explicit Chunks(const std::vector<FilePiece>& pieces)
      : pieces_(pieces), left_(total_of(pieces)) {}

  std::uint64_t left() const { return left_; }
  /// The next min(kChunkBytes, left()) bytes; valid until the next call.
  const std::byte* next(std::size_t* size) {
    *size = static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, left_));
    left_ -= *size;
    skip_empty();
    const FilePiece& piece = pieces_[index_];
    if (piece.data != nullptr && piece.size_bytes - offset_ >= *size) {
      const std::byte* here = piece.data + offset_;
      offset_ += *size;
      return here;
    }
    gather(*size);
    return scratch_.data();
  }

 private:
  void skip_empty() {
    while (offset_ == pieces_[index_].size_bytes) {
      ++index_;
      offset_ = 0;
    }
  }
  void gather(std::size_t size) {
    scratch_.resize(kChunkBytes);
    for (std::size_t done = 0; done < size;) {
      skip_empty();
      const FilePiece& piece = pieces_[index_];
      const auto part = static_cast<std::size_t>(
          std::min<std::uint64_t>(size - done, piece.size_bytes - offset_));
      if (piece.data != nullptr) {
        std::memcpy(scratch_.data() + done, piece.data + offset_, part);
      } else {
        piece.copy(offset_, part, scratch_.data() + done);
      }
      done += part;
      offset_ += part;
    }
  }

  const std::vector<FilePiece>& pieces_;
  std::uint64_t left_;
  std::size_t index_ = 0;
  std::uint64_t offset_ = 0;
  std::vector<std::byte> scratch_;
};

/// The checksums of a file whose chunks come in order.
class FileHash {
 public:
  void add(const std::byte* data, std::size_t size) {
    whole_.update(data, size);
    block_->update(data, size);
    file_.size_bytes += size;
    in_block_ += size;
    if (in_block_ == kBlockBytes) end_block();
  }
  StoredFile finish() {
    if (in_block_ > 0) end_block();
    file_.xxh3_128 = whole_.hex();
    file_.block_bytes = kBlockBytes;
    return file_;
  }

 private:
  void end_block() {
    file_.blocks += block_->hex();
    block_.emplace();
    in_block_ = 0;
  }
  Xxh3Stream whole_;
  std::optional<Xxh3Stream> block_{std::in_place};
  std::uint64_t in_block_ = 0;
  StoredFile file_;
};

Status write_fully(const FileDescriptor& file, const std::byte* data, std::size_t size,
                   const std::string& path) {
  while (size > 0) {
    const ssize_t count = ::write(file.get(), data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_status(errno, "write", path);
    data += count;
    size -= static_cast<std::size_t>(count);
  }
  return ok_status();
}

bool cancelled(const FileWriteOptions& options) {
  return options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed);
}

Status write_chunks(const FileDescriptor& file, const std::string& path,
                    const std::vector<FilePiece>& pieces, const FileWriteOptions& options,
                    FileHash* hash) {
  Chunks chunks(pieces);
  std::uint64_t written = 0;
  while (chunks.left() > 0) {
    if (cancelled(options)) return internal_error("[checkpoint] the save was given up");
    std::size_t size = 0;
    const std::byte* data = chunks.next(&size);
    TITAN_RETURN_IF_ERROR(write_fully(file, data, size, path));
    if (hash != nullptr) hash->add(data, size);
    written += size;
    if (written % kFlushBytes == 0)  // a hint: a file system without it loses nothing
      ::sync_file_range(file.get(), static_cast<off64_t>(written - kFlushBytes), kFlushBytes,
                        SYNC_FILE_RANGE_WRITE);
  }
  return ok_status();
}

/// Hashes on a thread of its own, from memory.
class BesideHash {
 public:
  BesideHash(const std::vector<FilePiece>& pieces, const FileWriteOptions& options)
      : thread_([this, &pieces, &options] {
          Chunks chunks(pieces);
          while (chunks.left() > 0 && !stop_.load() && !cancelled(options)) {
            std::size_t size = 0;
            const std::byte* data = chunks.next(&size);
            hash_.add(data, size);
          }
        }) {}
  ~BesideHash() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  StoredFile finish() {
    thread_.join();
    return hash_.finish();
  }

 private:
  FileHash hash_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

StatusOr<StoredFile> write_to(const FileDescriptor& file, const std::string& path,
                              const std::vector<FilePiece>& pieces,
                              const FileWriteOptions& options) {
  const bool in_memory = std::all_of(pieces.begin(), pieces.end(),
                                     [](const FilePiece& piece) { return piece.data != nullptr; });
  if (options.hash_beside && in_memory) {
    BesideHash hash(pieces, options);
    TITAN_RETURN_IF_ERROR(write_chunks(file, path, pieces, options, nullptr));
    return hash.finish();
  }
  FileHash hash;
  TITAN_RETURN_IF_ERROR(write_chunks(file, path, pieces, options, &hash));
  return hash.finish();
}

}  // namespace

StatusOr<StoredFile> write_pieces(const std::string& path, const std::vector<FilePiece>& pieces,
                                  const FileWriteOptions& options) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.is_open()) return errno_status(errno, "create", path);
  StatusOr<StoredFile> stored = write_to(file, path, pieces, options);
  Status status = stored.status();
  if (status.ok() && cancelled(options))
    status = internal_error("[checkpoint] the save was given up");
  if (status.ok() && ::fsync(file.get()) != 0) status = errno_status(errno, "write to disk", path);
  if (const int error = file.close(); status.ok() && error != 0)
    status = errno_status(error, "close", path);
  if (status.ok()) return stored;
  ::unlink(path.c_str());
  return status;
}

}  // namespace titan::checkpoint
