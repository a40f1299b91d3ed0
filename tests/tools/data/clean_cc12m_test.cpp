#include "tests/support/catch.h"

#include "titan/tools/data/clean_cc12m.h"

#include <filesystem>

#include "tests/io/image_golden.h"
#include "tests/support/golden_root.h"
#include "tests/support/sha256.h"
#include "tests/support/temporary_folder.h"
#include "tests/tools/data/image_set.h"
#include "titan/io/image_convert.h"
#include "titan/io/image_decode.h"
#include "titan/io/saved_folder.h"
#include "titan/tools/convert_data.h"
#include "titan/tools/data/cc12m_row.h"
#include "titan/tools/data/stored_png.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using titan::testing::add_sample;
using titan::testing::jpeg;
using titan::testing::TarBuilder;
using titan::testing::TemporaryFolder;
using Json = nlohmann::json;

/// Rows 0 to 5: good, listed, too small, good, broken, good.
struct SmallSet {
  TemporaryFolder folder;
  SmallSet() {
    TarBuilder first, second;
    add_sample(first, "in/a0", jpeg(20, 9));
    add_sample(first, "in/a1", "no picture");
    add_sample(second, "b2", jpeg(20, 7));
    add_sample(second, "b3", jpeg(8, 30, PixelMode::kGray));
    add_sample(second, "b4", "no picture");
    add_sample(second, "b5", jpeg(8, 8), "last", R"({"width": "?", "error_message": "x"})");
    folder.write("tars/set-0001.tar", second.finished());
    folder.write("tars/set-0000.tar", first.finished());
    folder.write("filter", "1\n4\n");
  }
  CleanCc12mOptions options() const {
    return {.input = folder / "tars",
            .output = folder / "out",
            .filter = folder / "filter",
            .output_size = 8,
            .num_threads = 3};
  }
};

std::vector<std::string> keys_of(const std::string& path) {
  const auto saved = SavedFolder::open(path);
  REQUIRE(message_of(saved.status()).empty());
  std::vector<std::string> keys;
  for (int64_t i = 0; i < saved->num_rows(); ++i) {
    const auto [file, row] = saved->find(i);
    const ArrowStreamFile& arrow = saved->files()[file];
    const auto key = arrow.bytes(arrow.find("__key__"), row);
    REQUIRE((key.ok() && key->has_value()));
    keys.emplace_back(reinterpret_cast<const char*>((*key)->data()), (*key)->size());
  }
  return keys;
}

using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("clean_image gives the pixels of the reference's cleaning", "[tools][golden]") {
  const fs::path golden = titan::testing::image_golden() / "photos.json";
  const fs::path tar = "../shared/data/cc12m_test/cc12m-train-0000.tar";
  if (!fs::exists(golden) || !fs::exists(tar)) TITAN_SKIP(titan::testing::kNoGolden);
  const auto members = titan::testing::read_tar(tar);
  for (const Json& photo : titan::testing::read_json(golden)["photos"]) {
    const std::string key = photo["key"];
    CAPTURE(key);
    const auto image = decode_image(members.at(key + ".jpg"));
    REQUIRE(image.ok());
    const Json& expected = photo["clean_script"];
    const Image cleaned = clean_image(*image, expected["size"].get<int>());
    CHECK(titan::testing::sha256_hex(to_rgb(cleaned).pixels) ==
          expected["rgb_sha256"].get<std::string>());
  }
}

TEST_CASE("clean_image: the crop is rounded half to even", "[tools]") {
  // Columns of one value each; no side changes, so the crop alone is seen.
  for (const auto& [width, first] :
       {std::pair{4, 0}, {5, 0}, {6, 1}, {7, 2}, {8, 2}, {9, 2}, {11, 4}}) {
    Image image(width, 4, PixelMode::kGray);
    for (int y = 0; y < 4; ++y)
      for (int x = 0; x < width; ++x) image.row(y)[x] = static_cast<std::uint8_t>(x);
    CAPTURE(width);
    CHECK(clean_image(image, 4).row(0)[0] == first);
  }
}

TEST_CASE("encode_stored_png keeps gray and alpha, and turns the rest into what training sees",
          "[tools]") {
  for (const PixelMode mode :
       {PixelMode::kBit, PixelMode::kGray, PixelMode::kGrayAlpha, PixelMode::kRgb, PixelMode::kRgba,
        PixelMode::kCmyk, PixelMode::kPalette, PixelMode::kGray16}) {
    Image image(3, 2, mode);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<std::uint8_t>(mode == PixelMode::kBit ? 255 * (i % 2) : 17 * i);
    if (mode == PixelMode::kPalette) {
      image.palette.resize(768);
      for (std::size_t i = 0; i < 768; ++i) image.palette[i] = static_cast<std::uint8_t>(i * 5);
    }
    CAPTURE(static_cast<int>(mode));
    const auto png = encode_stored_png(image);
    REQUIRE(png.ok());
    const auto read = decode_image(*png);
    REQUIRE(read.ok());
    CHECK(to_rgb(*read).pixels == to_rgb(image).pixels);
    if (mode == PixelMode::kGray || mode == PixelMode::kGrayAlpha || mode == PixelMode::kRgba)
      CHECK(read->mode == mode);
  }
}

TEST_CASE("clean-cc12m drops listed and small rows and takes the first ones", "[tools]") {
  const SmallSet set;
  CleanCc12mOptions options = set.options();
  REQUIRE(message_of(clean_cc12m(options)).empty());
  CHECK(keys_of(options.output) == Keys{"in/a0", "b3", "b5"});
  options.output = set.folder / "two";
  options.subset_size = 2;
  options.bytes_per_file = 1;  // a file a row
  REQUIRE(message_of(clean_cc12m(options)).empty());
  CHECK(keys_of(options.output) == Keys{"in/a0", "b3"});
  CHECK(fs::exists(set.folder / "two/data-00001-of-00002.arrow"));
}

TEST_CASE("clean-cc12m ends at an unreadable row, or leaves it out", "[tools]") {
  const SmallSet set;
  CleanCc12mOptions options = set.options();
  options.filter = "none";
  CHECK_THAT(message_of(clean_cc12m(options)),
             Contains("row 1 (set-0000.tar:in/a1): [image]") && Contains("find-bad"));
  CHECK(!fs::exists(options.output));
  options.drop_bad = true;
  REQUIRE(message_of(clean_cc12m(options)).empty());
  CHECK(keys_of(options.output) == Keys{"in/a0", "b3", "b5"});
  CHECK_THAT(message_of(clean_cc12m(options)), Contains("never overwritten"));
}

TEST_CASE("clean-cc12m names what is wrong with its input", "[tools]") {
  const SmallSet set;
  CleanCc12mOptions options = set.options();
  const auto refusal = [&] {
    const std::string message = message_of(clean_cc12m(options));
    CHECK(!fs::exists(options.output));
    return message;
  };
  options.output_size = 100;
  CHECK_THAT(refusal(), Contains("none of the 6 rows") && Contains("4 smaller than 100"));
  options = set.options();
  options.filter = set.folder / "nowhere";
  CHECK_THAT(refusal(), Contains("nowhere"));
  options = set.options();
  options.input = set.folder / "nowhere";
  CHECK_THAT(refusal(), Contains("no such file or folder"));
  TarBuilder cut;
  add_sample(cut, "c0", jpeg(20, 20));
  const std::string bytes = cut.bytes();
  set.folder.write("cut/set-0000.tar", bytes.substr(0, bytes.size() - 512));
  options.input = set.folder / "cut";
  CHECK_THAT(refusal(), Contains("row 0 (set-0000.tar:c0)") && Contains("c0.txt"));
  set.folder.write("empty/set-0000.tar", TarBuilder().finished());
  options.input = set.folder / "empty";
  CHECK_THAT(refusal(), Contains("holds no samples"));
  CHECK(convert_data_main({"clean-cc12m", "a", "b", "--bad-rows=keep"}) == 2);
  CHECK(convert_data_main({"clean-cc12m", "--help"}) == 0);
}

}  // namespace titan::tools
