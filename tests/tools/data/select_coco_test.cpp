#include "tests/support/catch.h"

#include "titan/tools/data/select_coco.h"

#include <algorithm>
#include <filesystem>

#include "tests/io/image_golden.h"
#include "tests/support/golden_root.h"
#include "tests/support/sha256.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/image_decode.h"
#include "titan/io/image_write.h"
#include "titan/io/tar_index.h"
#include "titan/tools/convert_data.h"
#include "titan/tools/data/coco_subset.h"
#include "titan/tools/data/numpy_permutation.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using titan::testing::Bytes;
using titan::testing::slurp;
using titan::testing::TemporaryFolder;
using Json = nlohmann::json;

Json expected_coco() {
  const auto root = titan::testing::golden_root();
  const fs::path path = root ? *root / "data/coco/expected.json" : fs::path();
  return fs::exists(path) ? titan::testing::read_json(path) : Json();
}

/// Names of an archive's members in their order.
std::vector<std::string> member_names(const fs::path& path) {
  std::vector<std::string> names;
  struct archive* tar = archive_read_new();
  archive_read_support_format_tar(tar);
  REQUIRE(archive_read_open_filename(tar, path.c_str(), 1 << 16) == ARCHIVE_OK);
  for (archive_entry* entry = nullptr; archive_read_next_header(tar, &entry) == ARCHIVE_OK;)
    names.emplace_back(archive_entry_pathname(entry));
  archive_read_free(tar);
  return names;
}

std::vector<std::string> tars_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tar") names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

void check_png(const Bytes& png, const Json& record) {
  const auto image = decode_image(png);
  REQUIRE(image.ok());
  CHECK(image->width == record["png_size"][0].get<int>());
  CHECK(image->height == record["png_size"][1].get<int>());
  CHECK((image->mode == PixelMode::kGray ? "L" : "RGB") == record["png_mode"].get<std::string>());
  CHECK(titan::testing::sha256_hex(image->pixels) == record["pixels_sha256"].get<std::string>());
}

/// Three annotations of two images, one of them gray, and the images.
struct SmallCoco {
  TemporaryFolder folder;
  std::string annotations = folder.write("captions.json", R"({"annotations": [
      {"image_id": 7, "id": 30, "caption": " a\nb\u3000"},
      {"image_id": 7, "id": 20, "caption": "second"},
      {"image_id": 9, "id": 10, "caption": "gr\u00e4y \"x\"\ty\u2028"}]})");
  std::string images = folder / "images";
  SmallCoco() {
    write_image(7, Image(5, 3, PixelMode::kRgb));
    write_image(9, Image(4, 4, PixelMode::kGray));
  }
  void write_image(int64_t id, const Image& image) const {
    const auto bytes = encode_jpeg(image);
    REQUIRE(bytes.ok());
    folder.write("images/" + coco_image_name(id) + ".jpg",
                 std::string(bytes->begin(), bytes->end()));
  }
  SelectCocoOptions options() const {
    return {.annotations = annotations,
            .images = images,
            .output = folder / "out",
            .num_samples = 2,
            .size = {8, 6},
            .num_threads = 2};
  }
};

}  // namespace

TEST_CASE("numpy_permutation gives NumPy's order", "[tools][golden]") {
  const Json expected = expected_coco();
  if (expected.is_null()) TITAN_SKIP(titan::testing::kNoGolden);
  for (const auto& [name, order] : expected["permutations"].items()) {
    long long n = 0;
    unsigned seed = 0;
    REQUIRE(std::sscanf(name.c_str(), "n=%lld,seed=%u", &n, &seed) == 2);
    CAPTURE(name);
    const std::vector<int64_t> actual = numpy_permutation(n, seed);
    CHECK(titan::testing::sha256_hex(actual) == order["sha256_int64_le"].get<std::string>());
    const auto first = order["first"].get<std::vector<int64_t>>();
    CHECK(std::equal(first.begin(), first.end(), actual.begin()));
  }
}

TEST_CASE("numpy_permutation has every number once", "[tools]") {
  CHECK(numpy_permutation(0, 1).empty());
  CHECK(numpy_permutation(1, 1) == std::vector<int64_t>{0});
  std::vector<int64_t> order = numpy_permutation(1000, 4294967295U);
  CHECK(order != numpy_permutation(1000, 1));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("select-coco writes the reference's tars and table", "[tools][golden]") {
  const Json expected = expected_coco();
  if (expected.is_null()) TITAN_SKIP(titan::testing::kNoGolden);
  const fs::path root = *titan::testing::golden_root() / "data/coco";
  for (const auto& [name, golden] : expected["cases"].items()) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const Status status =
        select_coco({.annotations = root / name / "captions.json",
                     .images = root / name / "images",
                     .output = folder / "out",
                     .num_samples = golden["num_samples"],
                     .seed = golden["seed"],
                     .samples_per_shard = golden["samples_per_shard"],
                     .size = {golden["size"][0].get<int>(), golden["size"][1].get<int>()}});
    REQUIRE(message_of(status).empty());
    CHECK(slurp(folder / "out/subset.tsv") == slurp(root / name / "subset.tsv"));
    const fs::path out = folder / "out", reference = root / name / "tars";
    REQUIRE(tars_in(out) == tars_in(reference));
    std::map<std::string, std::map<std::string, Bytes>> members;
    for (const std::string& tar : tars_in(reference)) {
      CHECK(member_names(out / tar) == member_names(reference / tar));
      members[tar] = titan::testing::read_tar(out / tar);
      for (const auto& [member, bytes] : titan::testing::read_tar(reference / tar))
        if (!member.ends_with(".png")) CHECK(members[tar].at(member) == bytes);
    }
    for (const Json& record : golden["records"]) {
      const std::string key = record["key"];
      CAPTURE(key);
      const auto& tar = members.at(record["tar"]);
      check_png(tar.at(key + ".png"), record);
      const Bytes& json = tar.at(key + ".json");
      CHECK(Json::parse(json.begin(), json.end()) == record["json"]);
    }
  }
}

TEST_CASE("select-coco: captions, gray images and order of a small set", "[tools]") {
  const SmallCoco coco;
  REQUIRE(message_of(select_coco(coco.options())).empty());
  const auto tar = titan::testing::read_tar(coco.folder / "out/shard_00000.tar");
  REQUIRE(tar.size() == 6);
  const auto text = [&](const std::string& member) {
    return std::string(tar.at(member).begin(), tar.at(member).end());
  };
  CHECK(text("000000000009.txt") == "gr\xc3\xa4y \"x\"\ty");
  CHECK(text("000000000009.json").find("gr\\u00e4y") != std::string::npos);
  const auto gray = decode_image(tar.at("000000000009.png"));
  REQUIRE(gray.ok());
  CHECK(gray->mode == PixelMode::kGray);
  CHECK((gray->width == 8 && gray->height == 6));
  CHECK_THAT(slurp(coco.folder / "out/subset.tsv"),
             Contains("9\t10\t\"gr\xc3\xa4y \"\"x\"\"\ty\"\t0\n"));
}

TEST_CASE("select-coco names what is wrong and leaves nothing behind", "[tools]") {
  const SmallCoco coco;
  SelectCocoOptions options = coco.options();
  const auto refusal = [&] {
    const std::string message = message_of(select_coco(options));
    CHECK(!fs::exists(coco.folder / "out"));
    return message;
  };
  options.annotations = coco.folder / "nowhere.json";
  CHECK_THAT(refusal(), Contains("nowhere.json"));
  options.annotations = coco.folder.write("bad.json", "{\"annotations\": [");
  CHECK_THAT(refusal(), Contains("does not parse"));
  options.annotations = coco.folder.write("other.json", R"({"images": []})");
  CHECK_THAT(refusal(), Contains("no list \"annotations\""));
  options.annotations = coco.folder.write(
      "instances.json", R"({"annotations": [{"image_id": 1, "id": 2, "bbox": [0, 0, 1, 1]}]})");
  CHECK_THAT(refusal(), Contains("annotation 0 has no caption"));
  options = coco.options();
  options.images = coco.folder / "nowhere";
  CHECK_THAT(refusal(), Contains("no such folder of images"));
  options = coco.options();
  coco.folder.write("images/COCO_val2014_000000000009.jpg", "\xff\xd8\xff no picture");
  CHECK_THAT(refusal(), Contains("COCO_val2014_000000000009.jpg: [image] JPEG"));
  fs::remove(coco.folder / "images/COCO_val2014_000000000009.jpg");
  CHECK_THAT(refusal(),
             Contains("1 of 2 images are not in") && Contains("COCO_val2014_000000000009.jpg"));
  coco.folder.write("out/file", "x");
  CHECK_THAT(message_of(select_coco(coco.options())), Contains("000000000009"));
  coco.write_image(9, Image(4, 4, PixelMode::kGray));
  CHECK_THAT(message_of(select_coco(coco.options())), Contains("never overwritten"));
  CHECK(convert_data_main({"select-coco", coco.annotations}) == 2);
  CHECK(convert_data_main({"select-coco", "a", "b", "c", "--num-samples=0"}) == 2);
  CHECK(convert_data_main({"select-coco", "--help"}) == 0);
}

}  // namespace titan::tools
