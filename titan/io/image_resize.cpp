#include "titan/io/image_resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "titan/base/check.h"
#include "titan/io/image_convert.h"
#include "titan/io/image_resample.h"

namespace titan {
namespace {

using image_resample::HorizontalRows;
using image_resample::Taps;

/// Rows of bytes somewhere else.
struct RowsView {
  const std::uint8_t* data;
  std::size_t stride;
};

/// Horizontal pass over rows [begin, end) of `image`, into rows with slack at their ends.
class HorizontalPass {
 public:
  HorizontalPass(const Image& image, const Taps& taps, int begin, int end)
      : image_(image),
        taps_(taps),
        channels_(bytes_per_pixel(image.mode)),
        stride_(static_cast<std::size_t>(taps.end - taps.begin) *
                    static_cast<std::size_t>(channels_) +
                image_resample::kRowSlack) {
    out_.resize(stride_ * static_cast<std::size_t>(end - begin));
    for (int y = begin; y < end; y += image_resample::kRowsAtOnce)
      run(y, std::min(image_resample::kRowsAtOnce, end - y),
          out_.data() + stride_ * static_cast<std::size_t>(y - begin));
  }
  RowsView rows() const { return {out_.data(), stride_}; }

 private:
  void run(int y, int num_rows, std::uint8_t* out) {
    HorizontalRows rows{image_.row(y), image_.row_bytes(), out, stride_, num_rows};
    const std::size_t used = image_.row_bytes() * static_cast<std::size_t>(num_rows);
    const std::size_t left =
        image_.pixels.size() - image_.row_bytes() * static_cast<std::size_t>(y);
    // Kernels read a little past a row's end: the last rows move to a buffer that has room for it.
    if (left < used + image_resample::kRowSlack) {
      scratch_.resize(used + image_resample::kRowSlack);
      std::memcpy(scratch_.data(), rows.in, used);
      rows.in = scratch_.data();
    }
#if defined(__x86_64__)
    if (channels_ >= 3 && image_resample::avx2_usable())
      return image_resample::horizontal_avx2(rows, channels_, taps_);
#endif
    image_resample::horizontal_scalar(rows, channels_, taps_);
  }

  const Image& image_;
  const Taps& taps_;
  int channels_;
  std::size_t stride_;
  std::vector<std::uint8_t> out_, scratch_;
};

void vertical_pass(const RowsView& in, const Taps& taps, Image& out) {
  auto* kernel = image_resample::vertical_scalar;
#if defined(__x86_64__)
  if (image_resample::avx2_usable()) kernel = image_resample::vertical_avx2;
#endif
  for (int y = 0; y < out.height; ++y) {
    const auto first = static_cast<std::size_t>(taps.first[y] - taps.source_begin());
    kernel(in.data + first * in.stride, in.stride, out.row_bytes(), taps, y, out.row(y));
  }
}

Image resize_bicubic(const Image& image, const ImageSize& size, const PixelWindow& window) {
  Image out(window.width, window.height, image.mode);
  int row_begin = window.y, row_end = window.y + window.height;
  Taps vertical;
  const bool change_height = size.height != image.height;
  if (change_height) {
    vertical =
        image_resample::bicubic_taps(image.height, size.height, window.y, window.y + window.height);
    row_begin = vertical.source_begin();
    row_end = vertical.source_end();
  }
  RowsView rows{
      image.row(row_begin) + static_cast<std::size_t>(window.x) * bytes_per_pixel(image.mode),
      image.row_bytes()};
  std::optional<HorizontalPass> pass;
  Taps horizontal;
  if (size.width != image.width) {
    horizontal =
        image_resample::bicubic_taps(image.width, size.width, window.x, window.x + window.width);
    rows = pass.emplace(image, horizontal, row_begin, row_end).rows();
  }
  if (change_height) {
    vertical_pass(rows, vertical, out);
  } else {
    for (int y = 0; y < out.height; ++y)
      std::memcpy(out.row(y), rows.data + static_cast<std::size_t>(y) * rows.stride,
                  out.row_bytes());
  }
  return out;
}

/// 16-bit gray: sums in double, rounded to an integer whose two bytes are clamped apart, as Pillow
/// does.
void store_gray16(double sum, std::uint8_t* out) {
  const int value =
      static_cast<int>(sum >= 0.0 ? std::floor(sum + 0.5) : -std::floor(std::abs(sum) + 0.5));
  const auto low = static_cast<unsigned>(std::clamp(value % 256, 0, 255));
  const auto high = static_cast<unsigned>(std::clamp(value >> 8, 0, 255));
  const auto word = static_cast<std::uint16_t>(high * 256 + low);
  std::memcpy(out, &word, 2);
}

double load_gray16(const std::uint8_t* in) {
  std::uint16_t word;
  std::memcpy(&word, in, 2);
  return word;
}

Image resize_gray16(const Image& image, const ImageSize& size, const PixelWindow& window) {
  Image middle(window.width, image.height, image.mode);
  if (size.width == image.width) {
    middle = crop(image, {window.x, 0, window.width, image.height});
  } else {
    const Taps taps =
        image_resample::bicubic_taps(image.width, size.width, window.x, window.x + window.width);
    for (int y = 0; y < image.height; ++y)
      for (int x = 0; x < window.width; ++x) {
        double sum = 0.0;
        for (int t = 0; t < taps.count[x]; ++t)
          sum += load_gray16(image.row(y) + 2 * static_cast<std::size_t>(taps.first[x] + t)) *
                 taps.real[static_cast<std::size_t>(x * taps.stride() + t)];
        store_gray16(sum, middle.row(y) + 2 * static_cast<std::size_t>(x));
      }
  }
  if (size.height == image.height) return crop(middle, {0, window.y, window.width, window.height});
  Image out(window.width, window.height, image.mode);
  const Taps taps =
      image_resample::bicubic_taps(image.height, size.height, window.y, window.y + window.height);
  for (int y = 0; y < window.height; ++y)
    for (std::size_t x = 0; x < static_cast<std::size_t>(window.width); ++x) {
      double sum = 0.0;
      for (int t = 0; t < taps.count[y]; ++t)
        sum += load_gray16(middle.row(taps.first[y] + t) + 2 * x) *
               taps.real[static_cast<std::size_t>(y * taps.stride() + t)];
      store_gray16(sum, out.row(y) + 2 * x);
    }
  return out;
}

/// Source index of each output position in [begin, end). Pillow adds the step up, so we do: the
/// rounding errors count.
std::vector<int> nearest_sources(int in, int out, int begin, int end) {
  const double step = static_cast<double>(in) / out;
  std::vector<int> sources;
  double at = step * 0.5;
  for (int i = 0; i < end; ++i, at += step)
    if (i >= begin) sources.push_back(static_cast<int>(at));
  return sources;
}

Image resize_nearest(const Image& image, const ImageSize& size, const PixelWindow& window) {
  Image out(window.width, window.height, image.mode);
  out.palette = image.palette;
  const std::vector<int> columns =
      nearest_sources(image.width, size.width, window.x, window.x + window.width);
  const std::vector<int> rows =
      nearest_sources(image.height, size.height, window.y, window.y + window.height);
  for (int y = 0; y < window.height; ++y) {
    if (rows[y] >= image.height)
      continue;  // Pillow leaves positions that round past the end at zero.
    const std::uint8_t* in = image.row(rows[y]);
    for (int x = 0; x < window.width; ++x)
      if (columns[x] < image.width) out.row(y)[x] = in[columns[x]];
  }
  return out;
}

}  // namespace

Image resize_window(const Image& image, const ImageSize& size, const PixelWindow& window) {
  TITAN_CHECK(size.width >= 1 && size.height >= 1, "[resize] sides must be at least 1 (",
              size.width, " x ", size.height, ")");
  TITAN_CHECK(window.x >= 0 && window.y >= 0 && window.width >= 1 && window.height >= 1 &&
                  window.width <= size.width - window.x && window.height <= size.height - window.y,
              "[resize] the window must lie inside the resized image (", window.width, " x ",
              window.height, " at ", window.x, ",", window.y, " of ", size.width, " x ",
              size.height, ")");
  if (size.width == image.width && size.height == image.height) return crop(image, window);
  switch (image.mode) {
    case PixelMode::kBit:
    case PixelMode::kPalette:
      return resize_nearest(image, size, window);
    case PixelMode::kGray16:
      return resize_gray16(image, size, window);
    case PixelMode::kGrayAlpha:
    case PixelMode::kRgba: {
      Image premultiplied = image;
      premultiply_alpha(premultiplied);
      Image out = resize_bicubic(premultiplied, size, window);
      unpremultiply_alpha(out);
      return out;
    }
    default:
      return resize_bicubic(image, size, window);
  }
}

Image resize(const Image& image, const ImageSize& size) {
  return resize_window(image, size, {0, 0, size.width, size.height});
}

ImageSize cover_size(const ImageSize& image, const ImageSize& target) {
  const auto rounded_up = [](int target_side, int side, int other) {
    return static_cast<int>(std::ceil(static_cast<double>(target_side) / side * other));
  };
  // Compares image.width / image.height with target.width / target.height, in integers.
  const std::int64_t wide = static_cast<std::int64_t>(image.width) * target.height;
  const std::int64_t tall = static_cast<std::int64_t>(image.height) * target.width;
  if (wide >= tall)
    return {std::max(target.width, rounded_up(target.height, image.height, image.width)),
            target.height};
  return {target.width,
          std::max(target.height, rounded_up(target.width, image.width, image.height))};
}

Image cover_resize(const Image& image, const ImageSize& target) {
  return resize(image, cover_size({image.width, image.height}, target));
}

Image crop(const Image& image, const PixelWindow& window) {
  TITAN_CHECK(window.x >= 0 && window.y >= 0 && window.width >= 1 && window.height >= 1 &&
                  window.width <= image.width - window.x &&
                  window.height <= image.height - window.y,
              "[crop] the window must lie inside the image (", window.width, " x ", window.height,
              " at ", window.x, ",", window.y, " of ", image.width, " x ", image.height, ")");
  Image out(window.width, window.height, image.mode);
  out.palette = image.palette;
  const std::size_t offset =
      static_cast<std::size_t>(window.x) * static_cast<std::size_t>(bytes_per_pixel(image.mode));
  for (int y = 0; y < window.height; ++y)
    std::memcpy(out.row(y), image.row(window.y + y) + offset, out.row_bytes());
  return out;
}

}  // namespace titan
