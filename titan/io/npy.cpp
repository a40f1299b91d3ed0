#include "titan/io/npy.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

namespace titan {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxHeaderBytes = 1 << 16;
constexpr std::size_t kMaxDimensions = 8;

/// Reads the dictionary, which is Python source: only what NumPy writes is understood.
class DictReader {
 public:
  explicit DictReader(std::string_view text) : text_(text) {}

  bool read(NpyHeader& header) {
    if (!take('{')) return false;
    bool type = false, order = false, shape = false;
    while (!take('}')) {
      const std::optional<std::string> key = text();
      if (!key || !take(':')) return false;
      if (*key == "descr" && !type) {
        const std::optional<std::string> value = text();
        if (!value) return false;
        header.type = *value;
        type = true;
      } else if (*key == "fortran_order" && !order) {
        if (!boolean(header.fortran_order)) return false;
        order = true;
      } else if (*key == "shape" && !shape) {
        if (!tuple(header.shape)) return false;
        shape = true;
      } else {
        return false;
      }
      if (!take(',') && peek() != '}') return false;
    }
    return type && order && shape;
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  char peek() {
    skip_spaces();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  std::optional<std::string> text() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return std::nullopt;
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool word(std::string_view expected) {
    skip_spaces();
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  bool boolean(bool& value) {
    value = word("True");
    return value || word("False");
  }
  bool number(int64_t& value) {
    skip_spaces();
    const std::size_t begin = at_;
    value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text_[at_] - '0', &value))
        return false;
    return at_ > begin;
  }
  bool tuple(std::vector<int64_t>& values) {
    if (!take('(')) return false;
    while (!take(')')) {
      int64_t value = 0;
      if (!number(value) || values.size() == kMaxDimensions) return false;
      values.push_back(value);
      if (!take(',') && peek() != ')') return false;
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Bytes of one element, 0 for types that are not plain numbers.
std::size_t element_bytes_of(const std::string& type) {
  if (type.size() < 3 || std::strchr("<>|=", type[0]) == nullptr ||
      std::strchr("biufc", type[1]) == nullptr)
    return 0;
  const std::string digits = type.substr(2);
  if (digits == "1") return 1;
  if (digits == "2") return 2;
  if (digits == "4") return 4;
  if (digits == "8") return 8;
  return digits == "16" && type[1] == 'c' ? 16 : 0;
}

Status refuse(const std::string& why) { return data_loss("[npy] ", why); }

}  // namespace

StatusOr<NpyHeader> parse_npy(std::span<const std::byte> blob) {
  const std::string_view bytes(reinterpret_cast<const char*>(blob.data()), blob.size());
  if (bytes.empty()) return refuse("empty, no array");
  if (!bytes.starts_with(kMagic)) return refuse("not an npy array (wrong magic)");
  const auto byte_at = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i]));
  };
  if (bytes.size() < 12) return refuse(str_cat("header cut short (", bytes.size(), " bytes)"));
  const std::size_t version = byte_at(6);
  if (version < 1 || version > 3) return refuse(str_cat("unknown format version ", version));
  std::size_t length = byte_at(8) | byte_at(9) << 8;
  std::size_t begin = 10;
  if (version > 1) {
    length |= byte_at(10) << 16 | byte_at(11) << 24;
    begin = 12;
  }
  if (length > kMaxHeaderBytes || length > bytes.size() - begin)
    return refuse(str_cat("header does not fit (", length, " bytes of ", bytes.size(), ")"));
  NpyHeader header;
  if (!DictReader(bytes.substr(begin, length)).read(header)) return refuse("malformed header");
  if (header.type.find('O') != std::string::npos)
    return refuse("holds pickled objects, which are never loaded");
  header.element_bytes = element_bytes_of(header.type);
  if (header.element_bytes == 0)
    return refuse(str_cat("unknown type '", header.type.substr(0, 40), "'"));
  header.data_offset = begin + length;
  header.data_bytes = header.element_bytes;
  for (const int64_t size : header.shape)
    if (__builtin_mul_overflow(header.data_bytes, static_cast<std::size_t>(size),
                               &header.data_bytes))
      return refuse("shape overflows");
  if (header.data_bytes > bytes.size() - header.data_offset)
    return refuse(str_cat("values cut short (", bytes.size() - header.data_offset, " of ",
                          header.data_bytes, " bytes)"));
  return header;
}

std::string render_npy_header(const std::string& type, const std::vector<int64_t>& shape) {
  std::string dict = str_cat("{'descr': '", type, "', 'fortran_order': False, 'shape': (");
  for (std::size_t i = 0; i < shape.size(); ++i) dict += str_cat(i == 0 ? "" : ", ", shape[i]);
  dict += shape.size() == 1 ? ",), }" : "), }";
  constexpr std::size_t kPrefix = 10, kAlign = 64;
  const std::size_t whole = (kPrefix + dict.size() + 1 + kAlign - 1) / kAlign * kAlign;
  dict.append(whole - kPrefix - dict.size() - 1, ' ');
  dict += '\n';
  std::string header(kMagic);
  header += '\x01';
  header += '\0';
  header += static_cast<char>(dict.size() & 0xFF);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

void npy_to_c_order(const NpyHeader& header, const std::byte* from, std::byte* to) {
  const std::size_t dims = header.shape.size(), width = header.element_bytes;
  std::vector<int64_t> index(dims, 0);
  std::vector<std::size_t> stride(dims, width);
  for (std::size_t d = 1; d < dims; ++d)
    stride[d] = stride[d - 1] * static_cast<std::size_t>(header.shape[d - 1]);
  for (std::size_t done = 0; done < header.data_bytes; done += width) {
    std::size_t offset = 0;
    for (std::size_t d = 0; d < dims; ++d) offset += static_cast<std::size_t>(index[d]) * stride[d];
    std::memcpy(to + done, from + offset, width);
    for (std::size_t d = dims; d-- > 0 && ++index[d] == header.shape[d];) index[d] = 0;
  }
}

}  // namespace titan
