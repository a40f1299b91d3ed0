#include "titan/metrics/tfrecord.h"

#include <array>
#include <bit>
#include <cstring>

namespace titan::metrics {
namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kTable = make_table();

// The mask keeps a CRC stored beside its data from being a CRC of itself (TensorFlow,
// lib/hash/crc32c.h).
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8U;
}

template <class Integer>
void append(std::string& out, Integer value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}
template <class Integer>
Integer integer_at(std::string_view bytes, std::size_t offset) {
  Integer value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

constexpr std::size_t kHeader = sizeof(std::uint64_t) + sizeof(std::uint32_t);
constexpr std::size_t kFooter = sizeof(std::uint32_t);

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t value = 0xFFFFFFFFU;
  for (const char byte : bytes)
    value = kTable[(value ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ (value >> 8);
  return value ^ 0xFFFFFFFFU;
}

std::string frame_record(std::string_view payload) {
  std::string out;
  out.reserve(kHeader + payload.size() + kFooter);
  append(out, static_cast<std::uint64_t>(payload.size()));
  append(out, masked_crc(out));
  out.append(payload);
  append(out, masked_crc(payload));
  return out;
}

std::optional<FramedRecord> record_at(std::string_view file, std::size_t offset) {
  if (offset > file.size() || file.size() - offset < kHeader + kFooter) return std::nullopt;
  const std::string_view rest = file.substr(offset);
  const auto length = integer_at<std::uint64_t>(rest, 0);
  if (integer_at<std::uint32_t>(rest, sizeof(length)) != masked_crc(rest.substr(0, sizeof(length))))
    return std::nullopt;
  if (length > rest.size() - kHeader - kFooter) return std::nullopt;
  const std::string_view payload = rest.substr(kHeader, length);
  if (integer_at<std::uint32_t>(rest, kHeader + length) != masked_crc(payload)) return std::nullopt;
  return FramedRecord{payload, offset + kHeader + length + kFooter};
}

}  // namespace titan::metrics
