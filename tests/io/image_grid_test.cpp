#include "tests/support/catch.h"

#include "titan/io/image_grid.h"

#include <algorithm>

#include "titan/io/image_decode.h"
#include "titan/io/image_font.h"
#include "titan/io/image_write.h"

#include "tests/support/temporary_folder.h"

using titan::GridOptions;
using titan::Image;
using titan::PixelMode;
using titan::TileGroup;

namespace {

Image flat(int width, int height, std::uint8_t level) {
  Image image(width, height, PixelMode::kRgb);
  std::fill(image.pixels.begin(), image.pixels.end(), level);
  return image;
}

/// Pixels of exactly this grey.
int count_level(const Image& image, std::uint8_t level) {
  int count = 0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3)
    if (image.pixels[i] == level && image.pixels[i + 1] == level && image.pixels[i + 2] == level)
      ++count;
  return count;
}

int count_ink(const Image& image) {
  int count = 0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3)
    if (image.pixels[i] == 40 && image.pixels[i + 2] == 48) ++count;
  return count;
}

}  // namespace

TEST_CASE("small tiles are enlarged by a whole factor and stand whole in the grid", "[io]") {
  TileGroup group{"", {}};
  for (int i = 0; i < 5; ++i)
    group.tiles.push_back({flat(10, 10, static_cast<std::uint8_t>(100 + i)), ""});
  GridOptions options;
  options.columns = 2;
  options.min_tile_side = 25;
  const Image grid = titan::compose_grid({group, group}, options);
  for (int i = 0; i < 5; ++i)
    REQUIRE(count_level(grid, static_cast<std::uint8_t>(100 + i)) == 2 * 30 * 30);
  // Two groups of two columns; three rows.
  REQUIRE(grid.width > 4 * 30);
  REQUIRE(grid.height > 3 * 30);
}

TEST_CASE("tiles of other sizes and modes are taken as they are", "[io]") {
  Image palette(4, 4, PixelMode::kPalette);
  palette.palette.assign(768, 77);
  const Image grid =
      titan::compose_grid({{"x", {{palette, "a"}, {flat(200, 50, 9), "b"}, {flat(7, 90, 8), "c"}}}},
                          {.title = "", .min_tile_side = 40});
  REQUIRE(count_level(grid, 77) == 40 * 40);
  REQUIRE(count_level(grid, 9) == 200 * 50);
  REQUIRE(count_level(grid, 8) == 42 * 540);
}

TEST_CASE("labels, headings and titles are written, and long labels stop", "[io]") {
  const auto grid_of = [](const std::string& label) {
    return titan::compose_grid({{"", {{flat(96, 96, 100), label}}}});
  };
  REQUIRE(count_ink(grid_of("")) == 0);
  REQUIRE(count_ink(grid_of("red circle")) > 50);
  const Image four_lines =
      grid_of("one two three four five six seven eight nine ten eleven twelve");
  std::string endless;
  for (int i = 0; i < 400; ++i) endless += "word ";
  REQUIRE(grid_of(endless).height == four_lines.height);
  REQUIRE(grid_of(std::string(300, 'x')).height == four_lines.height);
  const Image titled =
      titan::compose_grid({{"guidance 3.0", {{flat(96, 96, 100), ""}}}}, {.title = "step 100"});
  REQUIRE(titled.height > grid_of("").height);
  REQUIRE(count_ink(titled) > 200);
}

TEST_CASE("an empty grid is a picture still", "[io]") {
  REQUIRE(titan::compose_grid({}).width > 0);
  REQUIRE(titan::compose_grid({{"nothing", {}}}, {.title = "empty"}).height > 0);
}

TEST_CASE("text beyond ASCII and beyond the picture does no harm", "[io]") {
  REQUIRE(titan::ascii_only("caf\xc3\xa9\n\xe2\x82\xac") == "caf? ?");
  Image image = flat(20, 12, 255);
  titan::draw_text(image, -7, -3, "W\xff~", 3, {0, 0, 0});
  titan::draw_text(image, 19, 11, "edge", 1, {0, 0, 0});
  REQUIRE(count_level(image, 0) > 0);
  // Every letter differs from every other.
  std::vector<std::vector<std::uint8_t>> letters;
  for (char letter = 33; letter < 127; ++letter) {
    Image cell = flat(titan::kFontColumns, titan::kFontRows, 255);
    titan::draw_text(cell, 0, 0, std::string(1, letter), 1, {0, 0, 0});
    REQUIRE(count_level(cell, 0) > 1);
    REQUIRE(std::find(letters.begin(), letters.end(), cell.pixels) == letters.end());
    letters.push_back(cell.pixels);
  }
}

TEST_CASE("a grid is written as PNG, whole or not at all", "[io]") {
  const titan::testing::TemporaryFolder folder;
  const Image grid = titan::compose_grid({{"real", {{flat(8, 8, 3), "three"}}}});
  REQUIRE(titan::write_png(folder.file("grid.png"), grid).ok());
  const std::string text = titan::testing::slurp(folder.file("grid.png"));
  const auto back =
      titan::decode_image({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  REQUIRE(back.ok());
  REQUIRE(back->pixels == grid.pixels);
  REQUIRE(!titan::write_png(folder.file("no/such/folder.png"), grid).ok());
  REQUIRE(!titan::encode_png(Image()).ok());
  REQUIRE(!titan::encode_jpeg(Image(2, 2, PixelMode::kRgba)).ok());
  REQUIRE(!titan::encode_jpeg(Image(2, 2, PixelMode::kRgb), {.quality = 0}).ok());
}
