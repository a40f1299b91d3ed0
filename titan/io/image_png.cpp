// PNG by libpng's push reader: it hands over whatever rows the bytes still hold, so a truncated
// file gives its upper part, and rows of interlaced files come pass by pass.
#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <png.h>

#include "titan/io/image_codecs.h"
#include "titan/io/image_orientation.h"

namespace titan::image_codecs {
namespace {

constexpr int kPassesOfAdam7 = 7;

struct PngDecoder {
  explicit PngDecoder(const DecodeLimits& decode_limits) : limits(decode_limits) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error,
                                 [](png_structp, png_const_charp) {});
    if (png != nullptr) info = png_create_info_struct(png);
  }
  ~PngDecoder() { png_destroy_read_struct(&png, &info, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  [[noreturn]] static void on_error(png_structp png, png_const_charp text) {
    auto* self = static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(self->message.data(), text, self->message.size() - 1);
    png_longjmp(png, 1);
  }

  const DecodeLimits& limits;
  png_structp png = nullptr;
  png_infop info = nullptr;
  Image image;
  Status refused = ok_status();  ///< why on_header gave up
  bool have_header = false;
  bool finished = false;
  bool interlaced = false;
  std::int64_t num_rows = 0;  ///< rows received, over all passes
  std::array<char, 256> message{};
};

std::optional<PixelMode> mode_of(int color_type, int bit_depth) {
  switch (color_type) {
    case PNG_COLOR_TYPE_GRAY:
      if (bit_depth == 1) return PixelMode::kBit;
      return bit_depth == 16 ? PixelMode::kGray16 : PixelMode::kGray;
    case PNG_COLOR_TYPE_RGB:
      return PixelMode::kRgb;
    case PNG_COLOR_TYPE_PALETTE:
      return PixelMode::kPalette;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return PixelMode::kGrayAlpha;
    case PNG_COLOR_TYPE_RGB_ALPHA:
      return PixelMode::kRgba;
    default:
      return std::nullopt;
  }
}

void set_transforms(png_structp png, PixelMode mode, int bit_depth) {
  if (mode == PixelMode::kPalette) {
    png_set_packing(png);
  } else if (bit_depth < 8) {
    png_set_expand_gray_1_2_4_to_8(png);
  } else if (mode == PixelMode::kGray16) {
    const std::uint16_t probe = 1;
    std::uint8_t low_byte = 0;
    std::memcpy(&low_byte, &probe, 1);
    if (low_byte == 1) png_set_swap(png);
  } else if (bit_depth == 16) {
    png_set_strip_16(png);
  }
}

void copy_palette(png_structp png, png_infop info, Image& image) {
  image.palette.assign(256 * 3, 0);
  png_colorp colors = nullptr;
  int num_colors = 0;
  if (png_get_PLTE(png, info, &colors, &num_colors) == 0) return;
  for (int i = 0; i < num_colors; ++i) {
    std::uint8_t* entry = image.palette.data() + 3 * static_cast<std::size_t>(i);
    entry[0] = colors[i].red;
    entry[1] = colors[i].green;
    entry[2] = colors[i].blue;
  }
}

/// Takes the header; returns an error instead of throwing libpng's, which must not jump over
/// `Status`.
Status accept_header(PngDecoder& self) {
  png_uint_32 width = 0, height = 0;
  int bit_depth = 0, color_type = 0, interlace = 0;
  png_get_IHDR(self.png, self.info, &width, &height, &bit_depth, &color_type, &interlace, nullptr,
               nullptr);
  const auto mode = mode_of(color_type, bit_depth);
  if (!mode) return data_loss("[image] PNG colour type is unknown (", color_type, ")");
  TITAN_RETURN_IF_ERROR(check_size(width, height, bytes_per_pixel(*mode), self.limits));
  set_transforms(self.png, *mode, bit_depth);
  self.image = Image(static_cast<int>(width), static_cast<int>(height), *mode);
  if (*mode == PixelMode::kPalette) copy_palette(self.png, self.info, self.image);
  self.interlaced = interlace != PNG_INTERLACE_NONE;
  self.have_header = true;
  return ok_status();
}

void on_header(png_structp png, png_infop info) {
  auto& self = *static_cast<PngDecoder*>(png_get_progressive_ptr(png));
  self.refused = accept_header(self);
  if (!self.refused.ok()) png_error(png, "refused");
  png_read_update_info(png, info);
}

void on_row(png_structp png, png_bytep data, png_uint_32 row_of_pass, int pass) {
  if (data == nullptr) return;
  auto& self = *static_cast<PngDecoder*>(png_get_progressive_ptr(png));
  Image& image = self.image;
  ++self.num_rows;
  if (!self.interlaced) {
    if (row_of_pass < static_cast<png_uint_32>(image.height))
      std::memcpy(image.row(static_cast<int>(row_of_pass)), data, image.row_bytes());
    return;
  }
  if (pass < 0 || pass >= kPassesOfAdam7) return;
  const auto y = static_cast<int>(PNG_ROW_FROM_PASS_ROW(row_of_pass, pass));
  if (y >= image.height) return;
  const auto size = static_cast<std::size_t>(bytes_per_pixel(image.mode));
  const auto num_cols = static_cast<int>(PNG_PASS_COLS(image.width, pass));
  for (int i = 0; i < num_cols; ++i) {
    const int x = PNG_COL_FROM_PASS_COL(i, pass);
    std::memcpy(image.row(y) + static_cast<std::size_t>(x) * size,
                data + static_cast<std::size_t>(i) * size, size);
  }
}

/// Payload of the eXIf chunk, before or after the pixels (libpng's push reader passes over it);
/// empty if there is none.
std::span<const std::uint8_t> find_exif(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kSignature = 8, kChunkHeader = 8, kChecksum = 4;
  std::size_t at = kSignature;
  while (at + kChunkHeader <= bytes.size()) {
    const std::size_t size = png_get_uint_32(bytes.data() + at);
    const bool found = std::memcmp(bytes.data() + at + 4, "eXIf", 4) == 0;
    at += kChunkHeader;
    if (size > bytes.size() - at) return {};
    if (found) return bytes.subspan(at, size);
    at += size + kChecksum;
  }
  return {};
}

int stored_orientation(png_structp png, png_infop info, std::span<const std::uint8_t> bytes) {
  if (const auto orientation = exif_orientation(find_exif(bytes))) return *orientation;
  png_textp texts = nullptr;
  int num_texts = 0;
  png_get_text(png, info, &texts, &num_texts);
  for (int i = 0; i < num_texts; ++i) {
    if (std::string_view(texts[i].key) != "XML:com.adobe.xmp") continue;
    const std::size_t size = std::max(texts[i].text_length, texts[i].itxt_length);
    const std::span<const std::uint8_t> packet(reinterpret_cast<const std::uint8_t*>(texts[i].text),
                                               size);
    if (const auto orientation = xmp_orientation(packet)) return *orientation;
  }
  return 1;
}

/// False where libpng found an error; rows that came before it are kept.
bool push_all(PngDecoder& self, std::span<const std::uint8_t> bytes) {
  if (setjmp(png_jmpbuf(self.png)) != 0) return false;
  png_set_user_limits(self.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_crc_action(self.png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  png_set_progressive_read_fn(self.png, &self, on_header, on_row, [](png_structp png, png_infop) {
    static_cast<PngDecoder*>(png_get_progressive_ptr(png))->finished = true;
  });
  // libpng takes the input as mutable but only reads it.
  png_process_data(self.png, self.info, const_cast<png_bytep>(bytes.data()), bytes.size());
  return true;
}

}  // namespace

StatusOr<Decoded> decode_png(std::span<const std::uint8_t> bytes, const DecodeLimits& limits) {
  PngDecoder decoder(limits);
  if (decoder.info == nullptr)
    return internal_error("[image] libpng could not start (out of memory?)");
  const bool clean = push_all(decoder, bytes);
  if (!decoder.refused.ok()) return decoder.refused;
  if (!decoder.have_header)
    return data_loss("[image] PNG header is unreadable (",
                     clean ? "the file ends early" : decoder.message.data(), ")");
  if (decoder.num_rows == 0)
    return data_loss("[image] PNG holds no readable row (",
                     clean ? "the file ends early" : decoder.message.data(), ")");
  const int orientation = stored_orientation(decoder.png, decoder.info, bytes);
  return Decoded{std::move(decoder.image), orientation};
}

}  // namespace titan::image_codecs
