#include "titan/data/mds_values.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include <nlohmann/json.hpp>

#include "titan/io/json_nesting.h"
#include "titan/io/unaligned.h"

namespace titan {
namespace {

struct IntegerEncoding {
  const char* name;
  std::size_t size;
  int64_t (*load)(const std::byte* at);
};

template <class T>
int64_t load_as(const std::byte* at) {
  return static_cast<int64_t>(load_unaligned<T>(at));
}

constexpr std::array<IntegerEncoding, 9> kIntegers = {{{"int", 8, load_as<std::int64_t>},
                                                       {"int8", 1, load_as<std::int8_t>},
                                                       {"int16", 2, load_as<std::int16_t>},
                                                       {"int32", 4, load_as<std::int32_t>},
                                                       {"int64", 8, load_as<std::int64_t>},
                                                       {"uint8", 1, load_as<std::uint8_t>},
                                                       {"uint16", 2, load_as<std::uint16_t>},
                                                       {"uint32", 4, load_as<std::uint32_t>},
                                                       {"uint64", 8, load_as<std::uint64_t>}}};

const IntegerEncoding* find_integer(const std::string& encoding) {
  for (const IntegerEncoding& known : kIntegers)
    if (encoding == known.name) return &known;
  return nullptr;
}

std::optional<PixelMode> pixel_mode(std::string_view name) {
  if (name == "L") return PixelMode::kGray;
  if (name == "LA") return PixelMode::kGrayAlpha;
  if (name == "RGB") return PixelMode::kRgb;
  if (name == "RGBA") return PixelMode::kRgba;
  if (name == "CMYK") return PixelMode::kCmyk;
  return std::nullopt;
}

}  // namespace

bool is_mds_encoded_picture(const std::string& encoding) {
  return encoding == "jpeg" || encoding == "png" || encoding == "pil" || encoding == "jpeg_array" ||
         encoding == "jpegarray";
}
bool is_mds_picture(const std::string& encoding) {
  return encoding == "bytes" || is_mds_encoded_picture(encoding);
}
bool is_mds_text(const std::string& encoding) { return encoding == "str"; }
bool is_mds_json(const std::string& encoding) { return encoding == "json"; }
bool is_mds_integer(const std::string& encoding) {
  return encoding == "str_int" || find_integer(encoding) != nullptr;
}
bool is_mds_key(const std::string& encoding) {
  return is_mds_text(encoding) || is_mds_integer(encoding);
}

StatusOr<std::string> mds_caption(const MdsValue& value) {
  if (!is_mds_json(value.column.encoding)) return std::string(text_view(value.bytes));
  const std::string_view text = text_view(value.bytes);
  if (nests_too_deep(text))
    return data_loss("column '", value.column.name, "' nests lists or objects too deep");
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded()) return data_loss("column '", value.column.name, "' does not parse");
  const auto caption = json.is_object() ? json.find("caption") : json.end();
  if (caption == json.end() || !caption->is_string())
    return data_loss("column '", value.column.name, "' has no text 'caption'");
  return caption->get<std::string>();
}

StatusOr<std::string> mds_key(const MdsValue& value) {
  if (is_mds_text(value.column.encoding)) return std::string(text_view(value.bytes));
  TITAN_ASSIGN_OR_RETURN(const int64_t number, mds_integer(value));
  return str_cat(number);
}

StatusOr<int64_t> mds_integer(const MdsValue& value) {
  if (const IntegerEncoding* encoding = find_integer(value.column.encoding)) {
    if (value.bytes.size() == encoding->size) return encoding->load(value.bytes.data());
    return data_loss("column '", value.column.name, "' has ", value.bytes.size(), " bytes, ",
                     encoding->name, " has ", encoding->size);
  }
  const std::string_view text = text_view(value.bytes);
  int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return number;
  return data_loss("column '", value.column.name, "' is no integer ('", text.substr(0, 40), "')");
}

StatusOr<Image> mds_pil_image(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  constexpr std::size_t kWord = sizeof(std::uint32_t), kSizes = 3 * kWord;
  if (bytes.size() < kSizes)
    return data_loss("a pil image of ", bytes.size(), " bytes has no header");
  const int64_t width = load_unaligned<std::uint32_t>(bytes.data());
  const int64_t height = load_unaligned<std::uint32_t>(bytes.data() + kWord);
  const std::size_t mode_bytes = load_unaligned<std::uint32_t>(bytes.data() + 2 * kWord);
  if (mode_bytes > bytes.size() - kSizes)
    return data_loss("a pil image's mode has ", mode_bytes, " bytes");
  const std::string_view name = text_view(bytes.subspan(kSizes, mode_bytes));
  const std::optional<PixelMode> mode = pixel_mode(name);
  if (!mode)
    return invalid_argument("a pil image has mode '", name.substr(0, 16),
                            "' (L, LA, RGB, RGBA and CMYK are read)");
  // Keeps the product within 64 bits.
  constexpr int64_t kMaxSide = 1 << 24;
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide ||
      width * height > limits.max_pixels)
    return invalid_argument("a pil image of ", width, " x ", height, " pixels");
  const std::span<const std::byte> pixels = bytes.subspan(kSizes + mode_bytes);
  const std::uint64_t wanted = static_cast<std::uint64_t>(width) *
                               static_cast<std::uint64_t>(height) *
                               static_cast<std::uint64_t>(bytes_per_pixel(*mode));
  if (pixels.size() != wanted)
    return data_loss("a pil image of ", width, " x ", height, " in mode ", name, " has ",
                     pixels.size(), " bytes of pixels, not ", wanted);
  Image image(static_cast<int>(width), static_cast<int>(height), *mode);
  std::memcpy(image.pixels.data(), pixels.data(), pixels.size());
  return image;
}

}  // namespace titan
