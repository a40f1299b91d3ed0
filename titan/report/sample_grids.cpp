#include "titan/report/sample_grids.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "titan/io/image_convert.h"
#include "titan/io/image_decode.h"
#include "titan/io/image_resize.h"
#include "titan/io/png_text.h"
#include "titan/io/webp_write.h"

namespace titan::report {
namespace {

namespace fs = std::filesystem;

constexpr int kLargestSide = 1280;  // no screen column is wider
constexpr int kSmallestSide = 64;
constexpr DecodeLimits kLimits{.max_pixels = 100'000'000, .max_bytes = std::int64_t{1} << 30};

/// 100 of "step-000100.png".
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with("step-") || !name.ends_with(".png")) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size() - 4;
  const auto parsed = std::from_chars(name.data() + 5, end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || step < 0) return std::nullopt;
  return step;
}

Image scaled(const Image& image, double factor) {
  const auto side = [factor](int pixels) {
    return std::max(1, static_cast<int>(std::lround(factor * pixels)));
  };
  if (factor >= 1) return image;
  return resize(image, {side(image.width), side(image.height)});
}

PackedGrid packed_file(const GridFile& grid, std::size_t max_bytes) {
  PackedGrid broken;
  broken.step = grid.step;
  const StatusOr<std::string> file = read_file(grid.path, /*max_bytes=*/std::uint64_t{256} << 20);
  if (!file.ok()) {
    broken.note = message_of(file.status());
    return broken;
  }
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(file->data()), file->size());
  const StatusOr<Image> image = decode_image(bytes, kLimits);
  if (!image.ok()) {
    broken.note = message_of(image.status());
    return broken;
  }
  StatusOr<PackedGrid> packed = pack_image(*image, max_bytes);
  if (!packed.ok()) {
    broken.note = message_of(packed.status());
    return broken;
  }
  packed->step = grid.step;
  // The decoder completes a picture that ends early; its text reader sees the missing end.
  if (!read_png_text(bytes).ok())
    packed->note = "the file is not a whole PNG: cut short or damaged";
  return *std::move(packed);
}

}  // namespace

std::vector<GridFile> find_grids(const fs::path& folder) {
  std::vector<GridFile> grids;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (const auto step = step_of(entry->path().filename().string()))
      grids.push_back({*step, entry->path().string()});
  }
  std::sort(grids.begin(), grids.end(),
            [](const GridFile& a, const GridFile& b) { return a.step < b.step; });
  return grids;
}

std::vector<GridFile> thin_out(const std::vector<GridFile>& grids, std::size_t count) {
  count = std::max<std::size_t>(count, 2);
  if (grids.size() <= count) return grids;
  std::vector<GridFile> chosen;
  for (std::size_t i = 0; i < count; ++i)
    chosen.push_back(grids[i * (grids.size() - 1) / (count - 1)]);
  return chosen;
}

StatusOr<PackedGrid> pack_image(const Image& image, std::size_t max_bytes) {
  const Image rgb = to_rgb(image);
  double factor =
      std::min(1.0, static_cast<double>(kLargestSide) / std::max(rgb.width, rgb.height));
  float quality = 80;
  while (true) {
    const Image page_size = scaled(rgb, factor);
    TITAN_ASSIGN_OR_RETURN(std::vector<std::uint8_t> webp, encode_webp(page_size, quality));
    const int side = std::max(page_size.width, page_size.height);
    if (webp.size() <= max_bytes || side <= kSmallestSide) {
      PackedGrid packed;
      packed.width = page_size.width;
      packed.height = page_size.height;
      packed.webp = std::move(webp);
      return packed;
    }
    if (quality > 60) {
      quality = 55;
      continue;
    }
    // Bytes go with the number of pixels, roughly.
    const double shrink =
        std::sqrt(static_cast<double>(max_bytes) / static_cast<double>(webp.size()));
    factor = std::max(factor * std::clamp(0.95 * shrink, 0.3, 0.9),
                      static_cast<double>(kSmallestSide) / std::max(rgb.width, rgb.height));
  }
}

const PackedGrid& GridPacker::pack(const GridFile& grid, std::size_t max_bytes) {
  const FileStamp stamp = file_stamp(grid.path).value_or(FileStamp{});
  const auto found = kept_.find(grid.path);
  if (found != kept_.end() && found->second.stamp == stamp && found->second.max_bytes == max_bytes)
    return found->second.grid;
  Kept& kept = kept_[grid.path];
  kept = {.stamp = stamp, .max_bytes = max_bytes, .grid = packed_file(grid, max_bytes)};
  return kept.grid;
}

}  // namespace titan::report
