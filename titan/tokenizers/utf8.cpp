#include "titan/tokenizers/utf8.h"

#include <algorithm>
#include <cstdint>

namespace titan {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

std::uint8_t byte_at(std::string_view text, std::size_t position) {
  return static_cast<std::uint8_t>(text[position]);
}

struct Sequence {
  std::size_t length = 1;
  bool well_formed = false;
};

/// The sequence that starts at `position`, or the part of it that must be replaced as one (Unicode
/// 15, table 3-7: the second byte's range depends on the first).
Sequence sequence_at(std::string_view text, std::size_t position) {
  const std::uint8_t lead = byte_at(text, position);
  if (lead < 0x80) return {1, true};
  std::size_t length = 0;
  std::uint8_t low = 0x80, high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;  // above: surrogates
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (position + i >= text.size()) return {i, false};
    const std::uint8_t next = byte_at(text, position + i);
    if (next < low || next > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

std::size_t well_formed_prefix(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    const Sequence sequence = sequence_at(text, position);
    if (!sequence.well_formed) break;
    position += sequence.length;
  }
  return position;
}

}  // namespace

std::string_view well_formed_utf8(std::string_view text, std::string& storage) {
  const std::size_t prefix = well_formed_prefix(text);
  if (prefix == text.size()) return text;
  storage.assign(text.substr(0, prefix));
  for (std::size_t position = prefix; position < text.size();) {
    const Sequence sequence = sequence_at(text, position);
    storage.append(sequence.well_formed ? text.substr(position, sequence.length) : kReplacement);
    position += sequence.length;
  }
  return storage;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  const std::uint8_t lead = byte_at(text, position);
  if (lead < 0x80) return text[position++];
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i)
    code_point = (code_point << 6) | (byte_at(text, position + i) & 0x3FU);
  position += length;
  return code_point;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto tail = [&](int shift) {
    text.push_back(static_cast<char>(0x80U | ((code_point >> shift) & 0x3FU)));
  };
  if (code_point < 0x80) {
    text.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    text.push_back(static_cast<char>(0xC0U | (code_point >> 6)));
    tail(0);
  } else if (code_point < 0x10000) {
    text.push_back(static_cast<char>(0xE0U | (code_point >> 12)));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xF0U | (code_point >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace titan
