#include "titan/io/image_orientation.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace titan {
namespace {

/// Reads integers of a TIFF block in its byte order; out of range reads give nothing.
class TiffReader {
 public:
  TiffReader(std::span<const std::uint8_t> block, bool big_endian)
      : block_(block), big_endian_(big_endian) {}

  std::optional<std::uint32_t> read(std::size_t offset, std::size_t num_bytes) const {
    if (offset > block_.size() || block_.size() - offset < num_bytes) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < num_bytes; ++i) {
      const std::size_t at = big_endian_ ? i : num_bytes - 1 - i;
      value = (value << 8) | block_[offset + at];
    }
    return value;
  }

 private:
  std::span<const std::uint8_t> block_;
  bool big_endian_;
};

bool starts_with(std::span<const std::uint8_t> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

/// Where pixel (x, y) of the upright image lies in the stored one.
struct SourceRule {
  bool transposed;  ///< columns are stored as rows
  bool flip_x;      ///< then counted from the right
  bool flip_y;      ///< then counted from the bottom
};

SourceRule source_rule(int orientation) {
  switch (orientation) {
    case 2:
      return {false, true, false};
    case 3:
      return {false, true, true};
    case 4:
      return {false, false, true};
    case 5:
      return {true, false, false};
    case 6:
      return {true, false, true};
    case 7:
      return {true, true, true};
    default:
      return {true, true, false};
  }
}

template <std::size_t kBytes>
void copy_oriented(const Image& stored, const SourceRule& rule, Image& upright) {
  for (int y = 0; y < upright.height; ++y) {
    std::uint8_t* out = upright.row(y);
    for (int x = 0; x < upright.width; ++x, out += kBytes) {
      int source_x = rule.transposed ? y : x;
      int source_y = rule.transposed ? x : y;
      if (rule.flip_x) source_x = stored.width - 1 - source_x;
      if (rule.flip_y) source_y = stored.height - 1 - source_y;
      std::memcpy(out, stored.row(source_y) + static_cast<std::size_t>(source_x) * kBytes, kBytes);
    }
  }
}

}  // namespace

std::optional<int> exif_orientation(std::span<const std::uint8_t> exif) {
  while (starts_with(exif, std::string_view("Exif\0\0", 6))) exif = exif.subspan(6);
  const bool big_endian = starts_with(exif, std::string_view("MM\0*", 4));
  if (!big_endian && !starts_with(exif, std::string_view("II*\0", 4))) return std::nullopt;
  const TiffReader reader(exif, big_endian);
  const auto directory = reader.read(4, 4);
  if (!directory) return std::nullopt;
  const auto num_entries = reader.read(*directory, 2);
  if (!num_entries) return std::nullopt;
  for (std::uint32_t i = 0; i < *num_entries; ++i) {
    const std::size_t entry = std::size_t{*directory} + 2 + 12 * std::size_t{i};
    const auto tag = reader.read(entry, 2);
    if (!tag) return std::nullopt;
    if (*tag != 0x0112) continue;
    const auto type = reader.read(entry + 2, 2);
    constexpr std::uint32_t kShort = 3, kLong = 4;
    if (!type || (*type != kShort && *type != kLong)) return std::nullopt;
    const auto value = reader.read(entry + 8, *type == kShort ? 2 : 4);
    if (!value) return std::nullopt;
    return static_cast<int>(std::min<std::uint32_t>(*value, 255));
  }
  return std::nullopt;
}

std::optional<int> xmp_orientation(std::span<const std::uint8_t> xmp) {
  const std::string_view text(reinterpret_cast<const char*>(xmp.data()), xmp.size());
  constexpr std::string_view kName = "tiff:Orientation";
  for (std::size_t at = text.find(kName); at != std::string_view::npos;
       at = text.find(kName, at + 1)) {
    std::string_view rest = text.substr(at + kName.size());
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with('>'))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const SourceRule rule = source_rule(orientation);
  Image upright(rule.transposed ? image.height : image.width,
                rule.transposed ? image.width : image.height, image.mode);
  upright.palette = std::move(image.palette);
  switch (bytes_per_pixel(image.mode)) {
    case 1:
      copy_oriented<1>(image, rule, upright);
      break;
    case 2:
      copy_oriented<2>(image, rule, upright);
      break;
    case 3:
      copy_oriented<3>(image, rule, upright);
      break;
    default:
      copy_oriented<4>(image, rule, upright);
      break;
  }
  return upright;
}

}  // namespace titan
