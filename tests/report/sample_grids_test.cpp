#include "titan/report/sample_grids.h"

#include <span>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/image_decode.h"
#include "titan/io/image_write.h"
#include "titan/io/webp_write.h"

using namespace titan;
using namespace titan::report;
using titan::testing::slurp;
using titan::testing::TemporaryFolder;

namespace {

/// A gradient, or noise: the hardest there is for a codec.
Image picture(int width, int height, bool noise) {
  Image image(width, height, PixelMode::kRgb);
  std::uint32_t state = 1;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < 3 * width; ++x) {
      state = state * 1664525U + 1013904223U;
      image.row(y)[x] =
          static_cast<std::uint8_t>(noise ? state >> 24 : 255 * (x + y) / (3 * width + height));
    }
  }
  return image;
}

}  // namespace

TEST_CASE("WebP comes back as the picture it was", "[report]") {
  const Image image = picture(96, 64, /*noise=*/false);
  const auto webp = encode_webp(image, 90);
  REQUIRE(webp.ok());
  const auto back = decode_image(*webp);
  REQUIRE(back.ok());
  REQUIRE(back->width == 96);
  REQUIRE(back->height == 64);
  double error = 0;
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    error += std::abs(static_cast<double>(image.pixels[i]) - back->pixels[i]);
  REQUIRE(error / static_cast<double>(image.pixels.size()) < 6);  // of 255, at quality 90
  REQUIRE_FALSE(encode_webp(Image(4, 4, PixelMode::kGray), 90).ok());
  REQUIRE_FALSE(encode_webp(Image(20000, 1, PixelMode::kRgb), 90).ok());
}

TEST_CASE("A picture is packed into the bytes it may have, noise too", "[report]") {
  for (const bool noise : {false, true}) {
    for (const std::size_t most : {4000, 20000, 100000}) {
      const auto packed = pack_image(picture(900, 300, noise), most);
      REQUIRE(packed.ok());
      REQUIRE(packed->webp.size() <= most);
      REQUIRE(packed->width <= 900);
      REQUIRE(packed->width * 300 == Approx(packed->height * 900).epsilon(0.1));
      const auto shown = decode_image(packed->webp);
      REQUIRE(shown.ok());
      REQUIRE(shown->width == packed->width);
    }
  }
  REQUIRE(pack_image(picture(900, 300, false), 100000)->width == 900);  // no need to shrink
  REQUIRE(pack_image(picture(3000, 30, false), 100000)->width == 1280);
  const auto tiny = pack_image(picture(900, 300, true), 1);  // as small as it gets, not nothing
  REQUIRE(tiny.ok());
  REQUIRE(tiny->width == 64);
}

TEST_CASE("Grids are found by their names, in order, and thinned out evenly", "[report]") {
  const TemporaryFolder folder;
  for (const char* name : {"step-000100.png", "step-1000000.png", "step-000020.png", "step-x.png",
                           "other.png", "step-000100.png.tmp-3", "step-.png"})
    folder.write(name, "");
  const std::vector<GridFile> grids = find_grids(folder.path());
  REQUIRE(grids.size() == 3);
  REQUIRE(grids[0].step == 20);
  REQUIRE(grids[2].step == 1000000);
  REQUIRE(find_grids(folder.path() / "none").empty());
  std::vector<GridFile> many(101);
  for (std::size_t i = 0; i < many.size(); ++i) many[i].step = static_cast<std::int64_t>(i);
  const std::vector<GridFile> few = thin_out(many, 5);
  REQUIRE(few.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) REQUIRE(few[i].step == static_cast<std::int64_t>(25 * i));
  REQUIRE(thin_out(many, 200).size() == 101);
}

TEST_CASE("A PNG that is cut short is shown with a word; one without a header is a word",
          "[report]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("step-000001.png");
  REQUIRE(write_png(path, picture(64, 64, true)).ok());
  const std::string whole = slurp(path);
  GridPacker packer;
  const auto pack = [&](const std::string& contents) {
    folder.write("step-000001.png", contents);
    return packer.pack({1, path}, 10000);
  };
  REQUIRE(pack(whole).note.empty());
  const PackedGrid cut = pack(whole.substr(0, whole.size() / 2));
  REQUIRE_FALSE(cut.webp.empty());
  REQUIRE(cut.note.find("cut short") != std::string::npos);
  for (const std::string& broken :
       {whole.substr(0, 20), std::string(), std::string("no picture")}) {
    const PackedGrid none = pack(broken);
    REQUIRE(none.webp.empty());
    REQUIRE_FALSE(none.note.empty());
  }
  REQUIRE(packer.pack({2, folder.file("step-000002.png")}, 10000).webp.empty());
}
