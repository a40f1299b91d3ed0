#include "titan/io/tar_scan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

namespace titan {
namespace {

constexpr std::uint64_t kBlock = 512;
// A name or PAX record beyond this is an attack or garbage: PATH_MAX is 4096.
constexpr std::uint64_t kMaxExtensionBytes = 1 << 20;

struct Span {
  std::size_t offset;
  std::size_t size;
};
// POSIX.1-1988 ustar header; GNU tar keeps the same places.
constexpr Span kName{0, 100};
constexpr Span kSize{124, 12};
constexpr Span kChecksum{148, 8};
constexpr std::size_t kType = 156;
constexpr Span kMagic{257, 6};
constexpr Span kPrefix{345, 155};
constexpr std::size_t kGnuSparseExtended = 482;

std::string text_of(const char* block, Span field) {
  return {block + field.offset, ::strnlen(block + field.offset, field.size)};
}

/// Octal text, or GNU's base-256 (first byte 0x80). Empty text is 0.
std::optional<std::uint64_t> number_of(const char* block, Span field) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(block + field.offset);
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<int64_t>::max());
  std::uint64_t value = 0;
  if (bytes[0] == 0x80) {
    for (std::size_t i = 1; i < field.size; ++i) {
      if (value > kMax >> 8) return std::nullopt;
      value = value << 8 | bytes[i];
    }
    return value;
  }
  std::size_t i = 0;
  while (i < field.size && bytes[i] == ' ') ++i;
  for (; i < field.size && bytes[i] >= '0' && bytes[i] <= '7'; ++i) {
    if (value > kMax >> 3) return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(bytes[i] - '0');
  }
  if (i < field.size && bytes[i] != '\0' && bytes[i] != ' ') return std::nullopt;
  return value;
}

bool all_zero(const char* block) {
  return std::all_of(block, block + kBlock, [](char c) { return c == '\0'; });
}

/// The sum of the header's bytes with the checksum field as blanks; old tars summed signed bytes.
bool checksum_fits(const char* block) {
  const std::optional<std::uint64_t> stored = number_of(block, kChecksum);
  if (!stored) return false;
  std::int64_t with_unsigned = 0;
  std::int64_t with_signed = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool blank = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    with_unsigned += blank ? ' ' : static_cast<unsigned char>(block[i]);
    with_signed += blank ? ' ' : static_cast<signed char>(block[i]);
  }
  const auto sum = static_cast<std::int64_t>(*stored);
  return sum == with_unsigned || sum == with_signed;
}

/// What the next header inherits from GNU long-name and PAX members.
struct Extensions {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size_bytes;
  bool sparse = false;
};

/// PAX records: "<length> <key>=<value>\n", length counting itself. False if they are malformed.
bool read_pax_records(const std::string& records, Extensions& extensions) {
  std::size_t at = 0;
  while (at < records.size() && records[at] != '\0') {
    std::size_t length = 0;
    std::size_t digits = at;
    for (; digits < records.size() && records[digits] >= '0' && records[digits] <= '9'; ++digits) {
      length = length * 10 + static_cast<std::size_t>(records[digits] - '0');
      if (length > records.size()) return false;
    }
    if (digits == at || digits >= records.size() || records[digits] != ' ') return false;
    if (length < digits - at + 3 || length > records.size() - at) return false;
    if (records[at + length - 1] != '\n') return false;
    const std::string record = records.substr(digits + 1, length - (digits - at) - 2);
    const std::size_t equals = record.find('=');
    if (equals == std::string::npos) return false;
    const std::string key = record.substr(0, equals);
    const std::string value = record.substr(equals + 1);
    if (key == "path") extensions.path = value;
    if (key == "size") {
      constexpr std::size_t kMaxDigits = 18;  // below 2^63
      if (value.empty() || value.size() > kMaxDigits ||
          value.find_first_not_of("0123456789") != std::string::npos)
        return false;
      extensions.size_bytes = std::stoull(value);
    }
    if (key.rfind("GNU.sparse.", 0) == 0) extensions.sparse = true;
    at += length;
  }
  return true;
}

/// Reads ahead in pieces: small members between headers then cost no read of their own.
class HeaderWindow {
 public:
  HeaderWindow(const FileDescriptor& file, std::uint64_t size_bytes, const std::string& path)
      : file_(file), size_(size_bytes), path_(path) {}

  /// 512 bytes at `offset`; nullptr where the file ends before.
  StatusOr<const char*> block(std::uint64_t offset) {
    if (offset > size_ || size_ - offset < kBlock) return nullptr;
    if (offset < begin_ || offset + kBlock > begin_ + filled_) {
      filled_ = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), size_ - offset));
      begin_ = offset;
      if (Status status = read_exactly(file_, begin_, buffer_.data(), filled_, path_);
          !status.ok()) {
        filled_ = 0;
        return status;
      }
    }
    return buffer_.data() + (offset - begin_);
  }

 private:
  const FileDescriptor& file_;
  std::uint64_t size_;
  const std::string& path_;
  std::array<char, 16384> buffer_;
  std::uint64_t begin_ = 0;
  std::size_t filled_ = 0;
};

/// The walk: one header a step, extensions carried to the next.
class Walk {
 public:
  Walk(const FileDescriptor& file, std::uint64_t size_bytes, const std::string& path)
      : file_(file), size_(size_bytes), path_(path), window_(file, size_bytes, path) {}

  StatusOr<TarScan> run() {
    for (;;) {
      TITAN_ASSIGN_OR_RETURN(const bool more, step());
      if (!more) return std::move(scan_);
    }
  }

 private:
  /// One header; false at the end or at damage.
  StatusOr<bool> step() {
    if (position_ == size_) {
      // GNU tar warns too, but reads on: many writers forget the end blocks.
      if (has_extension_) return damaged("the archive ends after an extension header");
      return false;
    }
    TITAN_ASSIGN_OR_RETURN(const char* block, window_.block(position_));
    if (block == nullptr) return damaged("the archive ends inside a header");
    if (all_zero(block)) return false;
    if (!checksum_fits(block)) return damaged("a header has a wrong checksum");
    const std::optional<std::uint64_t> size_field = number_of(block, kSize);
    if (!size_field) return damaged("a header has an impossible size");
    const char type = block[kType];
    if (type == 'L' || type == 'K' || type == 'x' || type == 'X' || type == 'g')
      return extension(type, *size_field);
    return member(block, type, *size_field);
  }

  StatusOr<bool> extension(char type, std::uint64_t size_bytes) {
    const std::uint64_t data = position_ + kBlock;
    if (size_bytes > size_ - data) return damaged("the archive ends inside an extension header");
    if (size_bytes > kMaxExtensionBytes) return damaged("an extension header is too large");
    std::string text(size_bytes, '\0');
    TITAN_RETURN_IF_ERROR(read_exactly(file_, data, text.data(), text.size(), path_));
    if (type == 'L') next_.path = text.substr(0, text.find('\0'));
    if ((type == 'x' || type == 'X') && !read_pax_records(text, next_))
      return damaged("a PAX header is malformed");
    if (type == 'g' && !read_pax_records(text, global_))
      return damaged("a PAX header is malformed");
    has_extension_ = type != 'g';
    return advance(data, size_bytes);
  }

  StatusOr<bool> member(const char* block, char type, std::uint64_t size_field) {
    TarMember found{.name = name_of(block), .offset = position_ + kBlock, .size_bytes = size_field};
    if (global_.size_bytes) found.size_bytes = *global_.size_bytes;
    if (next_.size_bytes) found.size_bytes = *next_.size_bytes;
    const bool sparse = next_.sparse || type == 'S';
    next_ = {};
    has_extension_ = false;
    // V7 tars mark folders by a final slash only.
    const bool regular = type == '0' || type == '7' || (type == '\0' && !found.name.ends_with('/'));
    const bool no_data = type == '\0' ? !regular : type >= '1' && type <= '6';
    if (no_data) return advance(found.offset, 0);
    if (type == 'S') {
      TITAN_ASSIGN_OR_RETURN(found.offset,
                             after_sparse_map(found.offset, block[kGnuSparseExtended] != 0));
    }
    if (found.offset > size_ || found.size_bytes > size_ - found.offset) {
      scan_.damaged_member = found.name;
      return damaged(str_cat("the archive ends inside member ", found.name));
    }
    const std::uint64_t offset = found.offset;
    const std::uint64_t size_bytes = found.size_bytes;
    // A sparse file's bytes are not its contents; nobody stores samples so.
    if (regular && !sparse) scan_.members.push_back(std::move(found));
    return advance(offset, size_bytes);
  }

  std::string name_of(const char* block) const {
    if (next_.path) return *next_.path;
    if (global_.path) return *global_.path;
    const std::string name = text_of(block, kName);
    const bool ustar = std::memcmp(block + kMagic.offset, "ustar\0", kMagic.size) == 0;
    const std::string prefix = ustar ? text_of(block, kPrefix) : "";
    return prefix.empty() ? name : prefix + "/" + name;
  }

  /// Extra blocks of an old GNU sparse map lie between header and data.
  StatusOr<std::uint64_t> after_sparse_map(std::uint64_t offset, bool more) {
    constexpr std::size_t kMore = 504;
    while (more) {
      TITAN_ASSIGN_OR_RETURN(const char* block, window_.block(offset));
      if (block == nullptr) return size_ + 1;
      more = block[kMore] != 0;
      offset += kBlock;
    }
    return offset;
  }

  /// Past the data, which is padded to blocks; the padding of the last member may be missing.
  bool advance(std::uint64_t data, std::uint64_t size_bytes) {
    const std::uint64_t padded = size_bytes + (kBlock - size_bytes % kBlock) % kBlock;
    position_ = padded > size_ - data ? size_ : data + padded;
    return true;
  }

  StatusOr<bool> damaged(const std::string& why) {
    const std::string last =
        scan_.members.empty() ? "" : str_cat(", after member ", scan_.members.back().name);
    if (position_ == 0 && scan_.damaged_member.empty())
      return data_loss("[tar] ", path_, " is not a tar: ", why);
    scan_.damage = str_cat("[tar] ", path_, " is damaged at byte ", position_, last, ": ", why);
    return false;
  }

  const FileDescriptor& file_;
  std::uint64_t size_;
  const std::string& path_;
  HeaderWindow window_;
  std::uint64_t position_ = 0;
  Extensions next_;
  Extensions global_;
  bool has_extension_ = false;
  TarScan scan_;
};

}  // namespace

bool is_tar_header(const char* block) { return all_zero(block) || checksum_fits(block); }

StatusOr<TarScan> scan_tar(const FileDescriptor& file, std::uint64_t size_bytes,
                           const std::string& path) {
  if (size_bytes == 0) return data_loss("[tar] ", path, " is empty (0 bytes)");
  return Walk(file, size_bytes, path).run();
}

}  // namespace titan
