// JPEG by libjpeg-turbo with its defaults (accurate integer DCT, fancy upsampling): the pixels that
// Pillow gives.
#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

#include "titan/io/image_codecs.h"
#include "titan/io/image_orientation.h"

namespace titan::image_codecs {
namespace {

/// A progressive file may repeat scans to burn time (libjpeg-turbo's own tools draw the same line).
constexpr int kMaxScans = 500;

/// libjpeg's state. Its errors leave by longjmp: between a setjmp (in `attempt`) and libjpeg's code
/// no C++ object with a destructor may live.
struct JpegDecoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf escape{};
  std::array<char, JMSG_LENGTH_MAX> message{};

  JpegDecoder() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) {
      auto* self = static_cast<JpegDecoder*>(common->client_data);
      common->err->format_message(common, self->message.data());
      std::longjmp(self->escape, 1);
    };
    errors.emit_message = [](j_common_ptr common, int level) {
      if (level < 0) ++common->err->num_warnings;
    };
    errors.output_message = [](j_common_ptr) {};
    progress.progress_monitor = [](j_common_ptr common) {
      auto* self = static_cast<JpegDecoder*>(common->client_data);
      if (self->info.input_scan_number <= kMaxScans) return;
      constexpr std::string_view kMessage = "too many scans";
      std::copy(kMessage.begin(), kMessage.end(), self->message.begin());
      std::longjmp(self->escape, 1);
    };
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  /// False where `step` ended in a libjpeg error.
  template <class Step>
  bool attempt(const Step& step) {
    if (setjmp(escape) != 0) return false;
    step();
    return true;
  }

  Status error(const char* what) const {
    return data_loss("[image] JPEG ", what, " (", message.data(), ")");
  }
};

int stored_orientation(const jpeg_decompress_struct& info) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  std::optional<int> from_xmp;
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view text(reinterpret_cast<const char*>(marker->data), marker->data_length);
    const std::span<const std::uint8_t> data(marker->data, marker->data_length);
    if (text.starts_with(kExif)) {
      if (const auto orientation = exif_orientation(data)) return *orientation;
    } else if (text.starts_with(kXmp) && !from_xmp) {
      from_xmp = xmp_orientation(data.subspan(kXmp.size()));
    }
  }
  return from_xmp.value_or(1);
}

StatusOr<PixelMode> output_mode(jpeg_decompress_struct& info) {
  switch (info.num_components) {
    case 1:
      info.out_color_space = JCS_GRAYSCALE;
      return PixelMode::kGray;
    case 3:
      info.out_color_space = JCS_RGB;
      return PixelMode::kRgb;
    case 4:
      info.out_color_space = JCS_CMYK;
      return PixelMode::kCmyk;
    default:
      return data_loss("[image] JPEG must have 1, 3 or 4 components (", info.num_components, ")");
  }
}

void read_rows(jpeg_decompress_struct& info, Image& image) {
  jpeg_start_decompress(&info);
  constexpr int kRowsAtOnce = 16;
  JSAMPROW rows[kRowsAtOnce];
  while (info.output_scanline < info.output_height) {
    const int first = static_cast<int>(info.output_scanline);
    const int count = std::min(kRowsAtOnce, image.height - first);
    for (int i = 0; i < count; ++i) rows[i] = image.row(first + i);
    jpeg_read_scanlines(&info, rows, static_cast<JDIMENSION>(count));
  }
}

int scaled_side(JDIMENSION side, int denominator) {
  return (static_cast<int>(side) + denominator - 1) / denominator;
}

/// Largest of 8, 4, 2 by which the upright picture may be divided; 1 where none covers.
int largest_denominator(const jpeg_decompress_struct& info, int orientation, CoverSides cover) {
  if (swaps_sides(orientation)) std::swap(cover.width, cover.height);
  for (const int denominator : {8, 4, 2})
    if (scaled_side(info.image_width, denominator) >= cover.width &&
        scaled_side(info.image_height, denominator) >= cover.height)
      return denominator;
  return 1;
}

}  // namespace

StatusOr<Decoded> decode_jpeg(std::span<const std::uint8_t> bytes, const DecodeLimits& limits,
                              const std::optional<CoverSides>& cover) {
  JpegDecoder decoder;
  jpeg_decompress_struct& info = decoder.info;
  const bool have_header = decoder.attempt([&] {
    jpeg_create_decompress(&info);
    info.progress = &decoder.progress;
    jpeg_mem_src(&info, bytes.data(), bytes.size());
    constexpr unsigned kMaxMarkerBytes = 0xFFFF;
    jpeg_save_markers(&info, JPEG_APP0 + 1, kMaxMarkerBytes);
    jpeg_read_header(&info, TRUE);
  });
  if (!have_header) return decoder.error("header is unreadable");
  TITAN_ASSIGN_OR_RETURN(const PixelMode mode, output_mode(info));
  // A progressive file keeps all its coefficients, 2 bytes each, until the last scan.
  const int num_components = info.num_components;
  TITAN_RETURN_IF_ERROR(check_size(info.image_width, info.image_height,
                                   num_components * (jpeg_has_multiple_scans(&info) ? 3 : 1),
                                   limits));
  Decoded decoded{.image = {}, .orientation = stored_orientation(info)};
  const int denominator = cover ? largest_denominator(info, decoded.orientation, *cover) : 1;
  if (denominator > 1) {
    info.scale_num = 1;
    info.scale_denom = static_cast<unsigned>(denominator);
    decoded.full_width = static_cast<int>(info.image_width);
    decoded.full_height = static_cast<int>(info.image_height);
  }
  decoded.image = Image(scaled_side(info.image_width, denominator),
                        scaled_side(info.image_height, denominator), mode);
  // Data that end early come out as gray: the memory source then hands libjpeg an end-of-image
  // marker.
  if (!decoder.attempt([&] { read_rows(info, decoded.image); }))
    return decoder.error("data are damaged");
  if (mode == PixelMode::kCmyk)  // CMYK JPEGs are written inverted, the Adobe way.
    for (std::uint8_t& byte : decoded.image.pixels) byte = static_cast<std::uint8_t>(255 - byte);
  return decoded;
}

}  // namespace titan::image_codecs
