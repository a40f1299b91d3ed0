#include "titan/io/png_text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <zlib.h>

#include "titan/base/printable.h"

namespace titan {
namespace {

constexpr std::array<std::uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::size_t kFrame = 12;  ///< a chunk's length, type and checksum
constexpr std::size_t kHeader = 13;
constexpr std::size_t kLongestKeyword = 79;
/// Behind an iTXt keyword: its end, not compressed, method 0, no language, no translated keyword.
constexpr std::string_view kPlainInternational("\0\0\0\0\0", 5);

using Bytes = std::span<const std::uint8_t>;

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | bytes[3];
}

void append_big_endian(std::string& out, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(value >> shift & 0xFF));
}

/// Of type and data, which lie end to end.
std::uint32_t checksum(const void* bytes, std::size_t size) {
  return static_cast<std::uint32_t>(
      crc32_z(crc32_z(0, nullptr, 0), static_cast<const Bytef*>(bytes), size));
}

bool is_keyword(const std::string& text) {
  if (text.empty() || text.size() > kLongestKeyword || text.front() == ' ' || text.back() == ' ')
    return false;
  const auto printable_ascii = [](char letter) { return letter >= ' ' && letter <= '~'; };
  return text.find("  ") == std::string::npos &&
         std::all_of(text.begin(), text.end(), printable_ascii);
}

bool is_plain(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char letter) {
    return (letter >= ' ' && letter <= '~') || letter == '\n';
  });
}

StatusOr<std::string> text_chunk(const std::string& keyword, const std::string& text) {
  if (!is_keyword(keyword))
    return invalid_argument("[image] a PNG keyword is 1 to 79 printable characters (",
                            printable(keyword), ")");
  if (text.find('\0') != std::string::npos)
    return invalid_argument("[image] text of a PNG must have no zero byte (", keyword, ")");
  std::string body = is_plain(text) ? "tEXt" : "iTXt";
  const bool international = body == "iTXt";
  body += keyword;
  body += international ? kPlainInternational : kPlainInternational.substr(0, 1);
  body += text;
  constexpr std::size_t kLongest = 0x7FFFFFFF;
  if (body.size() > kLongest)
    return invalid_argument("[image] text of a PNG must be below 2 GiB (", keyword, ")");
  std::string chunk;
  append_big_endian(chunk, static_cast<std::uint32_t>(body.size() - 4));
  chunk += body;
  append_big_endian(chunk, checksum(body.data(), body.size()));
  return chunk;
}

struct Chunk {
  std::string type;
  Bytes data;
  std::size_t size = 0;  ///< with its frame
};

/// The whole chunk at `offset`, its checksum compared.
StatusOr<Chunk> chunk_at(Bytes png, std::size_t offset) {
  if (png.size() < offset + kFrame) return data_loss("[image] the PNG file is cut short");
  const std::size_t length = big_endian(png.data() + offset);
  if (png.size() - offset - kFrame < length) return data_loss("[image] the PNG file is cut short");
  const std::uint8_t* body = png.data() + offset + 4;
  if (checksum(body, length + 4) != big_endian(body + 4 + length))
    return data_loss("[image] the PNG file is damaged at byte ", offset);
  return Chunk{.type = std::string(reinterpret_cast<const char*>(body), 4),
               .data = png.subspan(offset + 8, length),
               .size = length + kFrame};
}

/// The header chunk, and that the bytes are a PNG.
Status check_header(Bytes png) {
  if (png.size() < kSignature.size() ||
      !std::equal(kSignature.begin(), kSignature.end(), png.begin()))
    return data_loss("[image] no PNG file");
  TITAN_ASSIGN_OR_RETURN(const Chunk header, chunk_at(png, kSignature.size()));
  if (header.type != "IHDR" || header.data.size() != kHeader)
    return data_loss("[image] the PNG file has no header");
  return ok_status();
}

/// Nothing where the chunk is of another kind, or compressed.
void take_text(const Chunk& chunk, PngText& text) {
  if (chunk.type != "tEXt" && chunk.type != "iTXt") return;
  const std::string_view all(reinterpret_cast<const char*>(chunk.data.data()), chunk.data.size());
  const std::size_t end = all.find('\0');
  if (end == std::string_view::npos) return;
  const std::string keyword(all.substr(0, end));
  if (chunk.type == "tEXt") {
    text.emplace_back(keyword, all.substr(end + 1));
    return;
  }
  const std::string_view rest = all.substr(end);
  if (rest.size() < kPlainInternational.size() || rest[1] != 0) return;
  const std::size_t language = rest.find('\0', 3);
  if (language == std::string_view::npos) return;
  const std::size_t translated = rest.find('\0', language + 1);
  if (translated == std::string_view::npos) return;
  text.emplace_back(keyword, rest.substr(translated + 1));
}

}  // namespace

std::string find_text(const PngText& text, const std::string& keyword) {
  const auto found = std::find_if(text.begin(), text.end(),
                                  [&](const auto& entry) { return entry.first == keyword; });
  return found == text.end() ? "" : found->second;
}

StatusOr<std::vector<std::uint8_t>> add_png_text(Bytes png, const PngText& text) {
  TITAN_RETURN_IF_ERROR(check_header(png));
  std::string chunks;
  for (const auto& [keyword, value] : text) {
    TITAN_ASSIGN_OR_RETURN(const std::string chunk, text_chunk(keyword, value));
    chunks += chunk;
  }
  const auto behind_header =
      png.begin() + static_cast<std::ptrdiff_t>(kSignature.size() + kFrame + kHeader);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(png.size() + chunks.size());
  bytes.insert(bytes.end(), png.begin(), behind_header);
  bytes.insert(bytes.end(), chunks.begin(), chunks.end());
  bytes.insert(bytes.end(), behind_header, png.end());
  return bytes;
}

StatusOr<PngText> read_png_text(Bytes png) {
  TITAN_RETURN_IF_ERROR(check_header(png));
  TITAN_ASSIGN_OR_RETURN(const Chunk end, chunk_at(png, png.size() - kFrame));
  if (end.type != "IEND") return data_loss("[image] the PNG file is cut short");
  PngText text;
  std::size_t offset = kSignature.size();
  while (true) {
    if (png.size() < offset + kFrame) return data_loss("[image] the PNG file has no pixels");
    // The pixels' checksum would take reading them all.
    if (std::memcmp(png.data() + offset + 4, "IDAT", 4) == 0) return text;
    TITAN_ASSIGN_OR_RETURN(const Chunk chunk, chunk_at(png, offset));
    take_text(chunk, text);
    offset += chunk.size;
  }
}

}  // namespace titan
