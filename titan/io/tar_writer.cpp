#include "titan/io/tar_writer.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <utility>

namespace titan {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxName = 100;
/// A fixed time of change (2020-01-01), so that equal members give equal archives.
constexpr unsigned long long kModified = 1577836800;

using Block = std::array<char, kBlock>;

void put_octal(Block& block, std::size_t offset, std::size_t width, unsigned long long value) {
  std::snprintf(block.data() + offset, width, "%0*llo", static_cast<int>(width) - 1, value);
}

/// Fields and offsets of the ustar header: POSIX.1-1988, pax(1).
Block header(const std::string& name, std::size_t size_bytes) {
  Block block{};
  std::memcpy(block.data(), name.data(), name.size());
  put_octal(block, 100, 8, 0644);
  put_octal(block, 108, 8, 0);
  put_octal(block, 116, 8, 0);
  put_octal(block, 124, 12, size_bytes);
  put_octal(block, 136, 12, kModified);
  block[156] = '0';
  std::memcpy(block.data() + 257,
              "ustar\0"
              "00",
              8);
  std::memset(block.data() + 148, ' ', 8);  // the checksum counts its own field as spaces
  unsigned sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  std::snprintf(block.data() + 148, 8, "%06o", sum);
  block[155] = ' ';
  return block;
}

}  // namespace

StatusOr<TarWriter> TarWriter::create(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  return TarWriter(std::move(file));
}

Status TarWriter::add(const std::string& name, const void* data, std::size_t size_bytes) {
  if (name.empty() || name.size() > kMaxName)
    return invalid_argument("[tar] a member's name must have 1 to ", kMaxName, " bytes (", name,
                            ")");
  const Block block = header(name, size_bytes);
  pending_.append(block.data(), block.size());
  pending_.append(static_cast<const char*>(data), size_bytes);
  pending_.append((kBlock - size_bytes % kBlock) % kBlock, '\0');
  constexpr std::size_t kFlushBytes = std::size_t{1} << 20;
  return pending_.size() < kFlushBytes ? ok_status() : flush();
}

Status TarWriter::flush() {
  TITAN_RETURN_IF_ERROR(file_.write(pending_.data(), pending_.size()));
  pending_.clear();
  return ok_status();
}

Status TarWriter::finish() {
  pending_.append(2 * kBlock, '\0');
  TITAN_RETURN_IF_ERROR(flush());
  return file_.commit();
}

}  // namespace titan
