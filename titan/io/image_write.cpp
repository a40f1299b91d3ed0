#include "titan/io/image_write.h"

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <utility>

// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>
#include <png.h>

#include "titan/io/atomic_file.h"

namespace titan {
namespace {

Status check_image(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      image.pixels.size() != image.row_bytes() * static_cast<std::size_t>(image.height))
    return invalid_argument("[image] to be written must have pixels (", image.width, " x ",
                            image.height, ", ", image.pixels.size(), " bytes)");
  return ok_status();
}

/// libjpeg's state and its output; errors leave by longjmp over libjpeg's frames only.
struct JpegEncoder {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf escape{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  unsigned char* data = nullptr;
  unsigned long size = 0;

  JpegEncoder() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) {
      auto* self = static_cast<JpegEncoder*>(common->client_data);
      common->err->format_message(common, self->message.data());
      std::longjmp(self->escape, 1);
    };
  }
  ~JpegEncoder() {
    jpeg_destroy_compress(&info);
    std::free(data);
  }
  JpegEncoder(const JpegEncoder&) = delete;
  JpegEncoder& operator=(const JpegEncoder&) = delete;

  bool encode(const Image& image, const JpegOptions& options) {
    if (setjmp(escape) != 0) return false;
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, &size);
    info.image_width = static_cast<JDIMENSION>(image.width);
    info.image_height = static_cast<JDIMENSION>(image.height);
    info.input_components = bytes_per_pixel(image.mode);
    info.in_color_space = image.mode == PixelMode::kGray ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, options.quality, TRUE);
    if (!options.subsample_color)
      info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      // libjpeg takes the row as mutable but only reads it.
      auto* row = const_cast<JSAMPROW>(image.row(static_cast<int>(info.next_scanline)));
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    return true;
  }
};

}  // namespace

StatusOr<std::vector<std::uint8_t>> encode_png(const Image& image) {
  TITAN_RETURN_IF_ERROR(check_image(image));
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  switch (image.mode) {
    case PixelMode::kGray:
      header.format = PNG_FORMAT_GRAY;
      break;
    case PixelMode::kGrayAlpha:
      header.format = PNG_FORMAT_GA;
      break;
    case PixelMode::kRgb:
      header.format = PNG_FORMAT_RGB;
      break;
    case PixelMode::kRgba:
      header.format = PNG_FORMAT_RGBA;
      break;
    default:
      return invalid_argument("[image] PNG takes gray or RGB, with or without alpha (mode ",
                              static_cast<int>(image.mode), ")");
  }
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) ==
      0)
    return internal_error("[image] PNG could not be encoded (", header.message, ")");
  bytes.resize(size);
  return bytes;
}

StatusOr<std::vector<std::uint8_t>> encode_jpeg(const Image& image, const JpegOptions& options) {
  TITAN_RETURN_IF_ERROR(check_image(image));
  if (image.mode != PixelMode::kGray && image.mode != PixelMode::kRgb)
    return invalid_argument("[image] JPEG takes gray or RGB (mode ", static_cast<int>(image.mode),
                            ")");
  if (options.quality < 1 || options.quality > 100)
    return invalid_argument("[image] JPEG quality must be 1 to 100 (", options.quality, ")");
  JpegEncoder encoder;
  if (!encoder.encode(image, options))
    return internal_error("[image] JPEG could not be encoded (", encoder.message.data(), ")");
  return std::vector<std::uint8_t>(encoder.data, encoder.data + encoder.size);
}

Status write_png(const std::string& path, const Image& image, const PngText& text) {
  TITAN_ASSIGN_OR_RETURN(std::vector<std::uint8_t> bytes, encode_png(image));
  if (!text.empty()) {
    TITAN_ASSIGN_OR_RETURN(bytes, add_png_text(bytes, text));
  }
  return write_file_atomically(path, std::string(bytes.begin(), bytes.end()));
}

}  // namespace titan
