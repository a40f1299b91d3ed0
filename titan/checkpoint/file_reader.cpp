#include "titan/checkpoint/file_reader.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "titan/base/hash.h"
#include "titan/checkpoint/stream_copy.h"
#include "titan/io/mapped_file.h"

namespace titan::checkpoint {
namespace {

// Source and target of one chunk stay in a core's second-level cache until it is hashed.
constexpr std::uint64_t kChunkBytes = std::uint64_t{128} << 10;
constexpr std::size_t kDigits = 32;
constexpr std::uint64_t kAheadBlocks = 4;  // read-ahead, for files that are not in memory yet

StatusOr<MappedFile> open_checked(const std::string& path, const StoredFile& expected) {
  // Sequential also spares the kernel from noting every page as used when the file is unmapped.
  TITAN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path, MappedFile::Access::kSequential));
  if (file.size() != expected.size_bytes)
    return data_loss("[checkpoint] ", path, " is damaged: ", file.size(),
                     " bytes, index.json says ", expected.size_bytes);
  return file;
}

/// Maps the pages of a range in one call; older kernels map them one fault at a time instead.
void map_pages(const MappedFile& file, std::uint64_t begin, std::uint64_t end) {
#ifdef MADV_POPULATE_READ
  constexpr std::uint64_t kPage = 4096;
  begin = begin / kPage * kPage;
  ::madvise(const_cast<std::byte*>(file.data()) + begin, end - begin, MADV_POPULATE_READ);
#else
  (void)file;
  (void)begin;
  (void)end;
#endif
}

Status verify_whole(const MappedFile& file, const StoredFile& expected) {
  constexpr std::size_t kPiece = std::size_t{16} << 20;
  Xxh3Stream hash;
  for (std::size_t at = 0; at < file.size(); at += kPiece) {
    const std::size_t size = std::min(kPiece, file.size() - at);
    hash.update(file.data() + at, size);
    file.release(at, size);
  }
  if (hash.hex() == expected.xxh3_128) return ok_status();
  return data_loss("[checkpoint] ", file.path(),
                   " is damaged: its XXH3-128 is not the one in index.json");
}

/// Calls `work(i)` for each of `count` blocks on several threads; the first error ends all.
template <class Work>
Status for_blocks(std::size_t count, int threads, const Work& work) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  Status first = ok_status();
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      const Status status = work(i);
      if (status.ok()) continue;
      next = count;
      const std::lock_guard<std::mutex> lock(mutex);
      if (first.ok()) first = status;
    }
  };
  std::vector<std::thread> helpers;
  const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(std::max(1, threads)), count);
  for (std::size_t t = 1; t < wanted; ++t) helpers.emplace_back(run);
  run();
  for (std::thread& helper : helpers) helper.join();
  return first;
}

/// Copies and hashes blocks of one file.
class BlockReader {
 public:
  BlockReader(const MappedFile& file, const StoredFile& expected,
              const std::vector<FileRange>& ranges)
      : file_(file), expected_(expected), ranges_(ranges) {}

  std::uint64_t begin_of(std::uint64_t block) const { return block * expected_.block_bytes; }
  std::uint64_t end_of(std::uint64_t block) const {
    return std::min(begin_of(block) + expected_.block_bytes, expected_.size_bytes);
  }

  Status read(std::uint64_t block, bool verify) const {
    const std::uint64_t begin = begin_of(block), end = end_of(block);
    if (verify) map_pages(file_, begin, end);
    Xxh3Stream hash;
    for (std::uint64_t at = begin; at < end; at += kChunkBytes) {
      const std::uint64_t stop = std::min(at + kChunkBytes, end);
      copy(at, stop);
      if (verify) hash.update(file_.data() + at, stop - at);
    }
    if (!verify || hash.hex() == expected_.blocks.substr(block * kDigits, kDigits))
      return ok_status();
    return data_loss("[checkpoint] ", file_.path(), " is damaged: the XXH3-128 of its bytes ",
                     begin, " to ", end, " is not the one in index.json");
  }

 private:
  /// What is wanted of [begin, end).
  void copy(std::uint64_t begin, std::uint64_t end) const {
    // Ranges are sorted and do not overlap: the first that ends behind `begin`.
    auto range = std::partition_point(ranges_.begin(), ranges_.end(), [&](const FileRange& r) {
      return r.offset + r.size_bytes <= begin;
    });
    for (; range != ranges_.end() && range->offset < end; ++range) {
      const std::uint64_t from = std::max(begin, range->offset);
      const std::uint64_t to = std::min(end, range->offset + range->size_bytes);
      stream_copy(range->out + (from - range->offset), file_.data() + from, to - from);
    }
  }

  const MappedFile& file_;
  const StoredFile& expected_;
  const std::vector<FileRange>& ranges_;
};

/// Blocks with wanted bytes, growing.
std::vector<std::uint64_t> blocks_of(const std::vector<FileRange>& ranges,
                                     std::uint64_t block_bytes) {
  std::vector<std::uint64_t> blocks;
  for (const FileRange& range : ranges) {
    if (range.size_bytes == 0) continue;
    const std::uint64_t last = (range.offset + range.size_bytes - 1) / block_bytes;
    std::uint64_t block = range.offset / block_bytes;
    if (!blocks.empty()) block = std::max(block, blocks.back() + 1);
    for (; block <= last; ++block) blocks.push_back(block);
  }
  return blocks;
}

Status verify_blocks(const MappedFile& file, const StoredFile& expected, std::uint64_t count,
                     int threads) {
  const std::vector<FileRange> nothing;
  const BlockReader reader(file, expected, nothing);
  return for_blocks(count, threads, [&](std::size_t block) {
    const Status status = reader.read(block, /*verify=*/true);
    file.release(reader.begin_of(block), expected.block_bytes);
    return status;
  });
}

/// Sorts; takes out what overlaps an earlier range (the same bytes wanted in two places).
std::vector<FileRange> take_overlaps(std::vector<FileRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const FileRange& a, const FileRange& b) { return a.offset < b.offset; });
  std::vector<FileRange> overlapping, rest;
  std::uint64_t end = 0;
  for (const FileRange& range : ranges) {
    if (range.size_bytes == 0) continue;
    (range.offset < end ? overlapping : rest).push_back(range);
    end = std::max(end, range.offset + range.size_bytes);
  }
  ranges = std::move(rest);
  return overlapping;
}

}  // namespace

Status check_size(const std::string& path, const StoredFile& expected) {
  return open_checked(path, expected).status();
}

Status verify_head(const std::string& path, const StoredFile& expected, std::uint64_t end) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile file, open_checked(path, expected));
  if (expected.block_bytes == 0) return verify_whole(file, expected);
  const std::uint64_t count =
      (std::min(end, expected.size_bytes) + expected.block_bytes - 1) / expected.block_bytes;
  return verify_blocks(file, expected, count, 1);
}

Status verify_all(const std::string& path, const StoredFile& expected, int threads) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile file, open_checked(path, expected));
  if (expected.block_bytes == 0) return verify_whole(file, expected);
  return verify_blocks(file, expected, expected.num_blocks(), threads);
}

Status read_ranges(const std::string& path, const StoredFile& expected,
                   std::vector<FileRange> ranges, int threads, VerifyShare share) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile file, open_checked(path, expected));
  for (const FileRange& range : ranges)
    TITAN_CHECK(range.offset + range.size_bytes <= file.size(),
                "[checkpoint] a range outside the file (", path, ")");
  if (expected.block_bytes == 0) {
    TITAN_RETURN_IF_ERROR(verify_whole(file, expected));
    for (const FileRange& range : ranges)
      stream_copy(range.out, file.data() + range.offset, range.size_bytes);
    return ok_status();
  }
  const std::vector<FileRange> overlapping = take_overlaps(ranges);
  const BlockReader reader(file, expected, ranges);
  const std::vector<std::uint64_t> blocks = blocks_of(ranges, expected.block_bytes);
  TITAN_RETURN_IF_ERROR(for_blocks(blocks.size(), threads, [&](std::size_t i) {
    if (i + kAheadBlocks < blocks.size())
      file.prefetch(reader.begin_of(blocks[i + kAheadBlocks]), expected.block_bytes);
    return reader.read(blocks[i], /*verify=*/blocks[i] % share.count == share.index);
  }));
  if (overlapping.empty()) return ok_status();
  return read_ranges(path, expected, overlapping, threads, share);
}

}  // namespace titan::checkpoint
