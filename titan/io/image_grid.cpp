#include "titan/io/image_grid.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "titan/base/check.h"
#include "titan/io/image_convert.h"
#include "titan/io/image_font.h"

namespace titan {
namespace {

constexpr Rgb kPaper{255, 255, 255}, kInk{40, 42, 48}, kFrame{196, 200, 208};
constexpr int kMargin = 12;    ///< around the whole
constexpr int kGap = 8;        ///< between pictures
constexpr int kGroupGap = 28;  ///< between groups, with a line in its middle

int line_height(int scale) { return (kFontRows + 2) * scale; }

/// Breaks `text` at spaces into lines of at most `max_letters`; a longer word is cut. What does not
/// fit in `max_lines` ends in "...".
std::vector<std::string> wrap(const std::string& text, std::size_t max_letters,
                              std::size_t max_lines) {
  std::vector<std::string> lines;
  std::string rest = ascii_only(text);
  max_letters = std::max<std::size_t>(max_letters, 4);
  while (!rest.empty() && lines.size() < max_lines) {
    std::size_t cut = rest.size();
    if (cut > max_letters) {
      cut = rest.rfind(' ', max_letters);
      if (cut == std::string::npos || cut == 0) cut = max_letters;
    }
    lines.push_back(rest.substr(0, cut));
    const std::size_t next = rest.find_first_not_of(' ', cut);
    rest = next == std::string::npos ? "" : rest.substr(next);
  }
  if (!rest.empty() && !lines.empty()) {
    std::string& last = lines.back();
    last = last.substr(0, max_letters - 3) + "...";
  }
  return lines;
}

struct Cell {
  Image image;  ///< enlarged, kRgb
  std::vector<std::string> label;
};

Image enlarged(Image image, int min_side) {
  Image rgb = to_rgb(std::move(image));
  const int side = std::max(1, std::min(rgb.width, rgb.height));
  const int factor = std::max(1, (min_side + side - 1) / side);
  if (factor == 1) return rgb;
  Image out(rgb.width * factor, rgb.height * factor, PixelMode::kRgb);
  for (int y = 0; y < out.height; ++y) {
    const std::uint8_t* in = rgb.row(y / factor);
    std::uint8_t* pixel = out.row(y);
    for (int x = 0; x < out.width; ++x, pixel += 3)
      std::memcpy(pixel, in + 3 * static_cast<std::size_t>(x / factor), 3);
  }
  return out;
}

void paste(Image& page, const Image& picture, int x, int y) {
  for (int row = 0; row < picture.height; ++row)
    std::memcpy(page.row(y + row) + 3 * static_cast<std::size_t>(x), picture.row(row),
                picture.row_bytes());
}

/// Sizes shared by all cells, so that rows and columns of every group line up.
struct Layout {
  int columns = 1;
  int rows = 0;
  int tile_width = 0;
  int tile_height = 0;
  int label_height = 0;
  int heading_height = 0;
  int title_height = 0;

  int group_width() const { return columns * tile_width + (columns - 1) * kGap; }
  int row_height() const { return tile_height + label_height + kGap; }
};

void draw_group(Image& page, const std::string& heading, const std::vector<Cell>& cells,
                const Layout& layout, int scale, int x, int y) {
  const auto letters = static_cast<std::size_t>(layout.group_width() / (2 * kFontAdvance * scale));
  for (const std::string& line : wrap(heading, letters, 1))
    // Drawn twice, one pixel apart: bold.
    for (const int shift : {0, scale}) draw_text(page, x + shift, y, line, 2 * scale, kInk);
  y += layout.heading_height;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const Cell& cell = cells[i];
    const auto index = static_cast<int>(i);
    const int left = x + index % layout.columns * (layout.tile_width + kGap);
    const int top = y + index / layout.columns * layout.row_height();
    const int shift = (layout.tile_width - cell.image.width) / 2;
    fill_rectangle(page, {left + shift - 1, top - 1, cell.image.width + 2, cell.image.height + 2},
                   kFrame);
    paste(page, cell.image, left + shift, top);
    int text_top = top + layout.tile_height + 3 * scale;
    for (const std::string& line : cell.label) {
      draw_text(page, left + (layout.tile_width - text_width(line, scale)) / 2, text_top, line,
                scale, kInk);
      text_top += line_height(scale);
    }
  }
}

}  // namespace

Image compose_grid(const std::vector<TileGroup>& groups, const GridOptions& options) {
  TITAN_CHECK(options.columns >= 1 && options.text_scale >= 1,
              "[grid] columns and text_scale must be at least 1 (", options.columns, ", ",
              options.text_scale, ")");
  const int scale = options.text_scale;
  Layout layout;
  std::vector<std::vector<Cell>> cells(groups.size());
  std::size_t most_tiles = 0;
  bool any_heading = false;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    most_tiles = std::max(most_tiles, groups[g].tiles.size());
    any_heading = any_heading || !groups[g].heading.empty();
    for (const Tile& tile : groups[g].tiles) {
      Cell& cell = cells[g].emplace_back(Cell{enlarged(tile.image, options.min_tile_side), {}});
      layout.tile_width = std::max(layout.tile_width, cell.image.width);
      layout.tile_height = std::max(layout.tile_height, cell.image.height);
    }
  }
  std::size_t label_lines = 0;
  const auto letters =
      static_cast<std::size_t>((layout.tile_width + scale) / (kFontAdvance * scale));
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::size_t i = 0; i < cells[g].size(); ++i) {
      cells[g][i].label = wrap(groups[g].tiles[i].label, letters,
                               static_cast<std::size_t>(options.max_label_lines));
      label_lines = std::max(label_lines, cells[g][i].label.size());
    }
  layout.columns = std::max(1, std::min(options.columns, static_cast<int>(most_tiles)));
  layout.rows = (static_cast<int>(most_tiles) + layout.columns - 1) / layout.columns;
  layout.label_height =
      label_lines == 0 ? 0 : static_cast<int>(label_lines) * line_height(scale) + 3 * scale;
  layout.heading_height = any_heading ? line_height(2 * scale) + 4 * scale : 0;
  layout.title_height = options.title.empty() ? 0 : line_height(2 * scale) + 6 * scale;

  const int num_groups = static_cast<int>(groups.size());
  const int body = num_groups * layout.group_width() + std::max(0, num_groups - 1) * kGroupGap;
  const std::string title = ascii_only(options.title);
  Image page(2 * kMargin + std::max({body, text_width(title, 2 * scale), 1}),
             2 * kMargin + std::max(1, layout.title_height + layout.heading_height +
                                           layout.rows * layout.row_height()),
             PixelMode::kRgb);
  fill_rectangle(page, {0, 0, page.width, page.height}, kPaper);
  draw_text(page, kMargin, kMargin, title, 2 * scale, kInk);
  const int top = kMargin + layout.title_height;
  for (int g = 0; g < num_groups; ++g) {
    const int left = kMargin + g * (layout.group_width() + kGroupGap);
    if (g > 0)
      fill_rectangle(page, {left - kGroupGap / 2, top, 1, page.height - top - kMargin}, kFrame);
    const auto index = static_cast<std::size_t>(g);
    draw_group(page, groups[index].heading, cells[index], layout, scale, left, top);
  }
  return page;
}

}  // namespace titan
