#include "titan/io/zip_index.h"

#include <algorithm>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/unaligned.h"

namespace titan {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50,
                        kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                      kLocator64Bytes = 20;
constexpr std::uint64_t kIn64 = 0xFFFFFFFF;  // the number is in the zip64 record

Status damaged(const std::string& what) { return data_loss("its zip archive ", what); }

/// Numbers of one record whose bounds have been checked.
struct Record {
  const std::byte* at;
  template <class T>
  std::uint64_t get(std::size_t offset) const {
    return load_unaligned<T>(at + offset);
  }
  std::uint64_t u16(std::size_t offset) const { return get<std::uint16_t>(offset); }
  std::uint64_t u32(std::size_t offset) const { return get<std::uint32_t>(offset); }
  std::uint64_t u64(std::size_t offset) const { return get<std::uint64_t>(offset); }
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  StatusOr<ZipIndex> read() {
    TITAN_RETURN_IF_ERROR(find_directory());
    std::uint64_t at = begin_;
    while (at < end_) TITAN_RETURN_IF_ERROR(read_member(at));
    if (index_.size() != count_) return damaged("lists another number of members than it says");
    return std::move(index_);
  }

 private:
  bool fits(std::uint64_t at, std::uint64_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }
  bool is(std::uint64_t at, std::size_t size, std::uint32_t signature) const {
    return fits(at, size) && record(at).u32(0) == signature;
  }
  Record record(std::uint64_t at) const { return {bytes_.data() + at}; }

  Status find_directory();
  Status read_member(std::uint64_t& at);
  static Status read_extra64(Record central, std::uint64_t size, std::uint64_t& stored,
                             std::uint64_t& whole, std::uint64_t& local);

  std::span<const std::byte> bytes_;
  std::uint64_t begin_ = 0, end_ = 0, count_ = 0;  // of the central directory
  ZipIndex index_;
};

/// The record at the very end, behind which a comment may follow.
Status Reader::find_directory() {
  constexpr std::size_t kLongestComment = 65535;
  if (bytes_.size() < kEndBytes) return damaged("is cut short");
  const std::size_t last = bytes_.size() - kEndBytes;
  const std::size_t first = last - std::min(last, kLongestComment);
  std::size_t at = last;
  while (!is(at, kEndBytes, kEnd) || record(at).u16(20) != last - at)
    if (at-- == first) return damaged("is cut short (it has no directory at its end)");
  const Record end = record(at);
  count_ = end.u16(10);
  std::uint64_t size = end.u32(12);
  begin_ = end.u32(16);
  if (at >= kLocator64Bytes && is(at - kLocator64Bytes, kLocator64Bytes, kLocator64)) {
    const std::uint64_t place = record(at - kLocator64Bytes).u64(8);
    if (!is(place, kEnd64Bytes, kEnd64)) return damaged("has a bad zip64 record");
    const Record end64 = record(place);
    if (end64.u32(16) != 0 || end64.u32(20) != 0) return damaged("is one of several parts");
    count_ = end64.u64(32);
    size = end64.u64(40);
    begin_ = end64.u64(48);
  } else if (end.u16(4) != 0 || end.u16(6) != 0) {
    return damaged("is one of several parts");
  }
  if (!fits(begin_, size)) return damaged("has its directory outside the file");
  end_ = begin_ + size;
  return ok_status();
}

/// The numbers that were too large for the plain record.
Status Reader::read_extra64(Record extra, std::uint64_t size, std::uint64_t& stored,
                            std::uint64_t& whole, std::uint64_t& local) {
  constexpr std::uint64_t kZip64 = 1;
  for (std::uint64_t at = 0; at + 4 <= size;) {
    const std::uint64_t id = extra.u16(at), length = extra.u16(at + 2);
    at += 4;
    if (length > size - at) break;
    std::uint64_t from = at;
    if (id == kZip64) {
      for (std::uint64_t* value : {&whole, &stored, &local}) {
        if (*value != kIn64) continue;
        if (from + 8 > at + length) return damaged("has a bad zip64 record");
        *value = extra.u64(from);
        from += 8;
      }
      return ok_status();
    }
    at += length;
  }
  return damaged("has a bad zip64 record");
}

Status Reader::read_member(std::uint64_t& at) {
  if (end_ - at < kCentralBytes || record(at).u32(0) != kCentral)
    return damaged("has a damaged directory");
  const Record central = record(at);
  const std::uint64_t flags = central.u16(8), method = central.u16(10);
  std::uint64_t stored = central.u32(20), whole = central.u32(24), local = central.u32(42);
  const std::uint64_t name_size = central.u16(28), extra_size = central.u16(30);
  const std::uint64_t size = kCentralBytes + name_size + extra_size + central.u16(32);
  if (size > end_ - at) return damaged("has a damaged directory");
  const std::uint64_t name_at = at + kCentralBytes;
  std::string name(reinterpret_cast<const char*>(bytes_.data()) + name_at, name_size);
  at += size;
  if (stored == kIn64 || whole == kIn64 || local == kIn64)
    TITAN_RETURN_IF_ERROR(
        read_extra64(record(name_at + name_size), extra_size, stored, whole, local));
  if (!is(local, kLocalBytes, kLocal)) return damaged("points outside itself");
  const std::uint64_t begin = local + kLocalBytes + record(local).u16(26) + record(local).u16(28);
  if (!fits(begin, stored))
    return damaged(str_cat("is cut short (", printable(name), " leaves the file)"));
  const bool is_stored = method == 0 && (flags & 1) == 0;
  if (is_stored && stored != whole) return damaged("contradicts itself");
  const ZipMember member{.offset = begin, .size_bytes = stored, .is_stored = is_stored};
  if (!index_.emplace(name, member).second)
    return damaged(str_cat("has a member twice (", printable(name), ")"));
  return ok_status();
}

}  // namespace

bool looks_like_zip(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && load_unaligned<std::uint32_t>(bytes.data()) == kLocal;
}

StatusOr<ZipIndex> read_zip_index(std::span<const std::byte> bytes) { return Reader(bytes).read(); }

}  // namespace titan
