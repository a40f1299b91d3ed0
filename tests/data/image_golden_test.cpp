// Samples of the captioned image data sets against the reference's own loader: tests/golden and
// ../shared/golden/data.
#include "tests/support/catch.h"

#include <cstdio>
#include <filesystem>

#include <ATen/ATen.h>

#include "titan/data/dataset.h"

#include "tests/data/image_rows.h"
#include "tests/support/golden.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using nlohmann::json;
using testing::config_of;
using testing::image_sha256;
using testing::TarFolder;

/// The golden folder data/`name` where it exists.
std::optional<fs::path> data_golden(const std::string& name) {
  const auto root = testing::golden_root();
  if (!root || !fs::exists(*root / "data" / name)) return std::nullopt;
  return *root / "data" / name;
}

json read_json(const fs::path& path) { return json::parse(testing::slurp(path.string())); }

JobConfig centered(const std::string& name, const fs::path& path, int side) {
  JobConfig config = config_of(name, path.string(), side);
  config.dataset.crop = "center";
  return config;
}

TEST_CASE("Folders of save_to_disk with images: rows, nulls, paths, structs", "[data]") {
  const fs::path folder = "tests/golden/saved_images";
  const json expected = read_json(folder / "expected.json");
  const int side = expected.at("img_size");
  for (const std::string name : {"cc12m_disk", "coco"}) {
    INFO(name);
    const bool is_coco = name == "coco";
    const auto data = *open_dataset(centered(name, folder, side));
    REQUIRE(data->size() == static_cast<int64_t>(expected.at("rows").size()));
    for (int64_t i = 0; i < data->size(); ++i) {
      const json& row = expected.at("rows")[static_cast<std::size_t>(i)];
      INFO(data->describe(i));
      const StatusOr<Sample> sample = data->read(i, {});
      const std::string error =
          row.value("error", is_coco ? row.value("coco_error", std::string()) : std::string());
      if (!error.empty()) {
        CHECK(sample.status().code() == absl::StatusCode::kDataLoss);
        CHECK_THAT(message_of(sample.status()),
                   Contains(str_cat("[", name, "] ", data->describe(i))) && Contains(error));
        continue;
      }
      INFO(sample.status().ToString());
      REQUIRE(sample.ok());
      CHECK(sample->key == row.at(is_coco ? "id" : "key"));
      CHECK(sample->caption == row.at("caption"));
      CHECK(image_sha256(*sample) == row.at("image_fp32_sha256"));
      CHECK(sample->fields.contains("timestep") == is_coco);
      if (is_coco) CHECK(sample->fields.get("timestep").item<int64_t>() == row.at("timestep"));
    }
  }
}

TEST_CASE("cc12m_disk gives the reference loader's rows", "[data][golden]") {
  const auto arrow = data_golden("arrow");
  if (!arrow || !fs::exists(*arrow / "cc12m_disk")) TITAN_SKIP(testing::kNoGolden);
  const json expected = read_json(*arrow / "cc12m_disk_rows.json");
  const auto data =
      *open_dataset(centered("cc12m_disk", *arrow / "cc12m_disk", expected.at("img_size")));
  CHECK(data->size() == static_cast<int64_t>(expected.at("rows").size()));
  int exact = 0;
  for (const json& row : expected.at("rows")) {
    INFO(row.at("id"));
    const StatusOr<Sample> sample = data->read(row.at("row"), {});
    INFO(sample.status().ToString());
    REQUIRE(sample.ok());
    CHECK(sample->key == row.at("id"));
    CHECK(sample->caption == row.at("txt"));
    CHECK(image_sha256(*sample) == row.at("image_fp32_sha256"));
    ++exact;
  }
  std::printf("[golden] cc12m_disk: %d rows exact\n", exact);
  CHECK(exact > 0);
  // The same folder is no evaluation set.
  CHECK_THAT(testing::error_of(centered("coco", *arrow / "cc12m_disk", 8)),
             Contains("no 'timestep'") && Contains("__key__"));
  if (fs::exists(*arrow / "coco_preprocessed"))
    CHECK_THAT(testing::error_of(centered("cc12m_disk", *arrow / "coco_preprocessed", 8)),
               Contains("no column of images") && Contains("t5_encodings"));
}

TEST_CASE("coco tars give the reference loader's rows", "[data][golden]") {
  const auto coco = data_golden("coco");
  if (!coco) TITAN_SKIP(testing::kNoGolden);
  int exact = 0;
  const json expected = read_json(*coco / "expected.json");
  for (const auto& [name, set] : expected.at("cases").items()) {
    const TarFolder folder;
    for (const auto& tar : fs::directory_iterator(*coco / name / "tars"))
      fs::copy(tar.path(), folder.path() / tar.path().filename());
    const auto data = *open_dataset(centered("coco", folder.path(), set.at("loader_img_size")));
    REQUIRE(data->size() == static_cast<int64_t>(set.at("loader_rows").size()));
    for (int64_t i = 0; i < data->size(); ++i) {
      const json& row = set.at("loader_rows")[static_cast<std::size_t>(i)];
      INFO(data->describe(i));
      const StatusOr<Sample> sample = data->read(i, {});
      INFO(sample.status().ToString());
      REQUIRE(sample.ok());
      CHECK(sample->key == row.at("id"));
      CHECK(sample->caption == row.at("txt"));
      CHECK(sample->fields.get("timestep").item<int64_t>() == row.at("timestep"));
      CHECK(image_sha256(*sample) == row.at("image_fp32_sha256"));
      ++exact;
    }
  }
  std::printf("[golden] coco: %d rows exact\n", exact);
  CHECK(exact > 0);
}

TEST_CASE("cc12m_test gives the reference's photographs and skips the small ones",
          "[data][golden]") {
  const auto image = data_golden("image");
  const fs::path photos = "../shared/data/cc12m_test";
  if (!image || !fs::exists(photos)) TITAN_SKIP(testing::kNoGolden);
  const json expected = read_json(*image / "photos.json");
  const TarFolder folder;
  for (const auto& entry : fs::directory_iterator(photos))
    fs::copy(entry.path(), folder.path() / entry.path().filename());
  int exact = 0, skipped = 0;
  for (const int side : {64, 256, 512}) {
    const auto data = *open_dataset(centered("cc12m_test", folder.path(), side));
    std::map<std::string, int64_t> index_of;
    for (int64_t i = 0; i < data->size(); ++i) {
      const std::string name = data->describe(i);  // "tar:key.jpg"
      const std::size_t colon = name.find(':');
      index_of[name.substr(colon + 1, name.rfind('.') - colon - 1)] = i;
    }
    for (const json& photo : expected.at("photos")) {
      const json& sizes = photo.at("sizes");
      if (!sizes.contains(std::to_string(side))) continue;
      const json& want = sizes.at(std::to_string(side));
      const std::string key = photo.at("key");
      INFO(key << " at " << side);
      const StatusOr<Sample> sample = data->read(index_of.at(key), {});
      if (want.value("skipped", false)) {
        CHECK_THAT(message_of(sample.status()), Contains(key) && Contains("smaller than asked"));
        ++skipped;
        continue;
      }
      REQUIRE(sample.ok());
      CHECK(sample->key == key);
      CHECK(image_sha256(*sample) == want.at("tensor_fp32_sha256"));
      ++exact;
    }
  }
  std::printf("[golden] cc12m_test: %d images exact, %d skipped as too small\n", exact, skipped);
  CHECK(exact > 0);
}

/// Whether the sample has what cc12m needs, by what the datasets library says of its fields.
bool is_captioned(const json& fields) {
  const bool has_text = fields.contains("txt") || fields.contains("json");
  for (const char* picture : {"png", "jpg", "jpeg", "webp"})
    if (fields.contains(picture)) return has_text;
  return false;
}

TEST_CASE("Golden tars as cc12m_wds: keys and captions, the rest named", "[data][golden]") {
  const auto tars = data_golden("webdataset");
  if (!tars) TITAN_SKIP(testing::kNoGolden);
  int read = 0, named = 0;
  const json all = read_json(*tars / "expected.json");
  for (const json& file : all.at("files")) {
    const std::string name = file.at("file");
    INFO(name);
    const TarFolder folder;
    fs::copy(*tars / name, folder.path() / name);
    const StatusOr<std::unique_ptr<Dataset>> data =
        open_dataset(centered("cc12m_wds", folder.file(name), 4));
    if (!data.ok()) {
      CHECK(file.at("samples").empty());
      CHECK_THAT(message_of(data.status()), Contains(name));
      ++named;
      continue;
    }
    for (std::size_t i = 0; i < file.at("samples").size(); ++i) {
      const json& expected = file.at("samples")[i];
      const json& fields = expected.at("fields");
      const StatusOr<Sample> sample = (*data)->read(static_cast<int64_t>(i), {});
      if (!sample.ok()) {
        CHECK_THAT(message_of(sample.status()), Contains(name + ":"));
        CHECK((!is_captioned(fields) || file.contains("error")));
        ++named;
        continue;
      }
      CHECK(sample->key == expected.at("key"));
      if (fields.contains("txt") && fields.at("txt").at("type") == "text")
        CHECK(sample->caption == fields.at("txt").at("value"));
      ++read;
    }
  }
  std::printf("[golden] cc12m_wds: %d samples read, %d files and samples named\n", read, named);
  CHECK(read > 0);
  CHECK(named > 0);
}

}  // namespace
}  // namespace titan
