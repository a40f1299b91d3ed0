#include <filesystem>
#include <numeric>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/base/hash.h"
#include "titan/checkpoint/file_reader.h"
#include "titan/checkpoint/file_writer.h"
#include "titan/checkpoint/stream_copy.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;
using titan::testing::slurp;
using titan::testing::TemporaryFolder;

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 2654435761U) >> 13);
  return bytes;
}

/// Cuts memory into pieces of uneven sizes, some empty; every third is brought by a function.
std::vector<FilePiece> cut(const std::vector<std::byte>& bytes, std::size_t step) {
  std::vector<FilePiece> pieces;
  std::size_t number = 0;
  for (std::size_t at = 0; at < bytes.size(); ++number) {
    const std::size_t size = std::min(number % 4 == 1 ? 0 : step + number % 7, bytes.size() - at);
    const std::byte* data = bytes.data() + at;
    if (number % 3 == 2) {
      pieces.push_back({size, nullptr, [data](uint64_t offset, std::size_t count, std::byte* out) {
                          std::memcpy(out, data + offset, count);
                        }});
    } else {
      pieces.push_back({size, data});
    }
    at += size;
  }
  return pieces;
}

}  // namespace

TEST_CASE("A file has the bytes of its pieces and their checksums", "[checkpoint]") {
  const TemporaryFolder folder;
  int number = 0;
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{4095}, kBlockBytes - 1, kBlockBytes, 2 * kBlockBytes + 77}) {
    const std::vector<std::byte> bytes = pattern(size);
    for (const std::size_t step : {std::size_t{333}, std::size_t{300'000}, 3 * kBlockBytes}) {
      for (const bool beside : {false, true}) {
        CAPTURE(size, step, beside);
        const std::string path = folder.file("file" + std::to_string(number++));
        const auto stored = write_pieces(path, cut(bytes, step), {.hash_beside = beside});
        REQUIRE(stored.ok());
        REQUIRE(slurp(path) == std::string(reinterpret_cast<const char*>(bytes.data()), size));
        REQUIRE(stored->size_bytes == size);
        REQUIRE(stored->xxh3_128 == xxh3_128_hex(bytes.data(), size));
        REQUIRE(stored->num_blocks() == (size + kBlockBytes - 1) / kBlockBytes);
        REQUIRE(stored->blocks.substr(0, 32) ==
                xxh3_128_hex(bytes.data(), std::min<std::size_t>(size, kBlockBytes)));
        REQUIRE(verify_all(path, *stored, 2).ok());
        fs::remove(path);
      }
    }
  }
}

TEST_CASE("Any ranges of a file are read, also the same twice", "[checkpoint]") {
  const TemporaryFolder folder;
  const std::size_t size = 3 * kBlockBytes + 12345;
  const std::vector<std::byte> bytes = pattern(size);
  const auto stored = write_pieces(folder.file("f"), {{size, bytes.data()}});
  REQUIRE(stored.ok());
  for (const int threads : {1, 4}) {
    std::vector<std::byte> out(4 * size);
    const std::vector<std::pair<std::size_t, std::size_t>> wanted = {
        {kBlockBytes - 5, 10},
        {0, 1},
        {2 * kBlockBytes, kBlockBytes + 12345},
        {kBlockBytes - 5, 10},
        {17, kBlockBytes},
        {5, 0}};
    std::vector<FileRange> ranges;
    std::size_t at = 3;  // nothing is aligned
    for (const auto& [offset, length] : wanted) {
      ranges.push_back({offset, length, out.data() + at});
      at += length + 1;
    }
    REQUIRE(read_ranges(folder.file("f"), *stored, ranges, threads).ok());
    for (const FileRange& range : ranges)
      REQUIRE(std::equal(range.out, range.out + range.size_bytes, bytes.data() + range.offset));
  }
}

TEST_CASE("A share of the blocks is verified, together all", "[checkpoint]") {
  const TemporaryFolder folder;
  const std::size_t size = 3 * kBlockBytes;
  std::vector<std::byte> bytes = pattern(size);
  const auto stored = write_pieces(folder.file("f"), {{size, bytes.data()}});
  bytes[kBlockBytes + 1] ^= std::byte{1};
  folder.write("f", std::string(reinterpret_cast<const char*>(bytes.data()), size));
  std::vector<std::byte> out(size);
  const auto read = [&](VerifyShare share) {
    return read_ranges(folder.file("f"), *stored, {{0, size, out.data()}}, 1, share);
  };
  REQUIRE(read({0, 3}).ok());
  REQUIRE_FALSE(read({1, 3}).ok());
  REQUIRE(read({2, 3}).ok());
  REQUIRE(read_ranges(folder.file("f"), *stored, {{0, kBlockBytes, out.data()}}).ok());
  const Status damaged = read_ranges(folder.file("f"), *stored, {{kBlockBytes + 9, 1, out.data()}});
  INFO(damaged.ToString());
  REQUIRE(message_of(damaged).find(folder.file("f")) != std::string::npos);
  REQUIRE(message_of(damaged).find("4194304 to 8388608") != std::string::npos);
}

TEST_CASE("A file without blocks is verified as a whole", "[checkpoint]") {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes = pattern(100'000);
  folder.write("f", std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  const StoredFile stored{bytes.size(), xxh3_128_hex(bytes.data(), bytes.size())};
  std::vector<std::byte> out(10);
  REQUIRE(read_ranges(folder.file("f"), stored, {{500, 10, out.data()}}).ok());
  REQUIRE(std::equal(out.begin(), out.end(), bytes.begin() + 500));
  REQUIRE_FALSE(
      read_ranges(folder.file("f"), {bytes.size(), std::string(32, '0')}, {{500, 10, out.data()}})
          .ok());
}

TEST_CASE("A cancelled write leaves no file", "[checkpoint]") {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes = pattern(1000);
  const std::atomic<bool> cancel = true;
  for (const bool beside : {false, true})
    REQUIRE_FALSE(write_pieces(folder.file("f"), {{1000, bytes.data()}},
                               {.hash_beside = beside, .cancel = &cancel})
                      .ok());
  REQUIRE(fs::is_empty(folder.path()));
}

TEST_CASE("stream_copy is memcpy at any size and alignment", "[checkpoint]") {
  const std::vector<std::byte> bytes = pattern(20'000);
  for (const std::size_t size : {0, 1, 4095, 4096, 4229, 19'000}) {
    for (const std::size_t shift : {0, 1, 31, 32}) {
      std::vector<std::byte> out(20'100, std::byte{7});
      stream_copy(out.data() + shift, bytes.data() + 3, size);
      REQUIRE(std::equal(bytes.begin() + 3, bytes.begin() + 3 + static_cast<int64_t>(size),
                         out.begin() + static_cast<int64_t>(shift)));
      REQUIRE(out[shift + size] == std::byte{7});
    }
  }
}

}  // namespace titan::checkpoint
