// Captioned images by name: cc12m_*, coco, dummy, image_folder, as tars and as folders of
// save_to_disk.
#include "tests/support/catch.h"

#include <set>

#include <ATen/ATen.h>
#include <stdlib.h>

#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
#include "titan/io/image_write.h"

#include "tests/data/image_rows.h"
#include "tests/support/golden.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::config_of;
using testing::error_of;
using testing::slurp;
using testing::TarBuilder;
using testing::TarFolder;
using testing::TemporaryFolder;

std::string png(int width, int height, std::uint8_t red) {
  Image image(width, height, PixelMode::kRgb);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) image.pixels[i] = red;
  const auto bytes = *encode_png(image);
  return {bytes.begin(), bytes.end()};
}

float red_of(const Sample& sample) { return sample.fields.get("image")[0][0][0].item<float>(); }
float value_of(int red) { return static_cast<float>(red) / 255.0F * 2.0F - 1.0F; }

TEST_CASE("A missing data set is named with the command that gets it", "[data]") {
  CHECK_THAT(error_of(config_of("cc12m_wds")),
             Contains("[cc12m_wds]") && Contains("scripts/download.sh cc12m DIR"));
  CHECK_THAT(
      error_of(config_of("coco", "/nowhere/coco")),
      Contains("does not exist (/nowhere/coco)") && Contains("scripts/download.sh coco DIR"));
  CHECK_THAT(error_of(config_of("coco_preprocessed", "/nowhere")),
             Contains("scripts/download.sh coco-preprocessed DIR"));
  CHECK_THAT(error_of(config_of("cc12m_preprocessed", "/nowhere")),
             Contains("scripts/download.sh cc12m-preprocessed DIR"));
  CHECK_THAT(error_of(config_of("cc12m_test", "/nowhere")), Contains("git clone"));
  CHECK_THAT(error_of(config_of("mds")), Contains("[mds] training.dataset_path is not set"));
}

TEST_CASE("cc12m: png before jpg, the tar's key, small and unreadable samples named", "[data]") {
  const TarFolder folder;
  TarBuilder tar;
  tar.add("a/0.jpg", "no image").add("a/0.png", png(8, 8, 10)).add("a/0.txt", "first");
  tar.add("a/1.png", png(7, 20, 0)).add("a/1.txt", "small");
  tar.add("a/2.png", png(8, 8, 0));
  tar.add("a/3.png", png(8, 8, 0)).add("a/3.txt", "bad \xff");
  tar.add("a/4.png", png(9, 8, 30)).add("a/4.json", R"({"caption":"from json"})");
  tar.add("a/5.txt", "text only");
  tar.add("a/6.gif", "GIF89a......").add("a/6.txt", "animated");
  tar.add("a/7.jpg", "GIF89a......").add("a/7.txt", "animated, too");
  folder.write("x.tar", tar.finished());
  const auto data = *open_dataset(config_of("cc12m_wds", folder.path().string()));
  REQUIRE(data->size() == 8);
  const Sample first = *data->read(0, {});
  CHECK(first.key == "a/0");
  CHECK(first.caption == "first");
  CHECK(red_of(first) == value_of(10));
  CHECK(first.fields.size() == 1);
  CHECK(data->read(4, {})->caption == "from json");
  const auto problem = [&](int64_t index) { return message_of(data->read(index, {}).status()); };
  CHECK_THAT(problem(1), Contains("x.tar:a/1.png") && Contains("smaller than asked (7 x 20"));
  CHECK_THAT(problem(2),
             Contains("x.tar:a/2.png") && Contains("no caption") && Contains("has: png"));
  CHECK_THAT(problem(3), Contains("x.tar:a/3.png") && Contains("not UTF-8"));
  CHECK_THAT(problem(5), Contains("no png, jpg, jpeg or webp member (the sample has: txt)"));
  CHECK_THAT(problem(6), Contains("the sample has: gif, txt"));
  CHECK_THAT(problem(7), Contains("the format GIF is not supported"));
}

TEST_CASE("cc12m_wds_30k ends after 30,000 samples", "[data]") {
  const TarFolder folder;
  for (int t = 0; t < 2; ++t) {
    TarBuilder tar;
    for (int i = 0; i < 15'001; ++i) tar.add(std::to_string(i) + ".txt", "");
    folder.write(str_cat("t", t, ".tar"), tar.finished());
  }
  CHECK((*open_dataset(config_of("cc12m_wds", folder.path().string())))->size() == 30'002);
  CHECK((*open_dataset(config_of("cc12m_wds_30k", folder.path().string())))->size() == 30'000);
}

TEST_CASE("coco: timestep and key come from json, small images are enlarged", "[data]") {
  const TarFolder folder;
  TarBuilder tar;
  const auto add = [&](const std::string& key, const std::string& json) {
    tar.add(key + ".png", png(4, 4, 50)).add(key + ".txt", str_cat("t ", key));
    if (!json.empty()) tar.add(key + ".json", json);
  };
  add("000000497252", R"({"id":"497252","timestep":7})");
  add("000000000012", R"({"id":12,"timestep":0})");
  add("2", R"({"timestep":8})");
  add("3", R"({"timestep":"1"})");
  add("4", "");
  add("5", R"({"timestep":3})");
  folder.write("shard_00000.tar", tar.finished());
  const auto data = *open_dataset(config_of("coco", folder.path().string()));
  const Sample first = *data->read(0, {});
  CHECK(first.key == "497252");
  CHECK(first.caption == "t 000000497252");
  CHECK(first.fields.get("timestep").item<int64_t>() == 7);
  CHECK(first.fields.get("timestep").dim() == 0);
  CHECK(data->read(1, {})->key == "12");
  CHECK(data->read(5, {})->key == "5");
  const auto problem = [&](int64_t index) { return message_of(data->read(index, {}).status()); };
  CHECK_THAT(problem(2), Contains("shard_00000.tar:2.png") && Contains("timestep out of range (8"));
  CHECK_THAT(problem(3), Contains("'timestep' of member json is no integer"));
  CHECK_THAT(problem(4), Contains("no json member"));
}

TEST_CASE("Captions may be long, not endless", "[data]") {
  const TemporaryFolder folder;
  std::string words;
  for (int i = 0; i < 10'000; ++i) words += "word ";
  folder.write("a.png", png(8, 8, 1));
  folder.write("a.txt", words);
  folder.write("b.png", png(8, 8, 1));
  folder.write("b.txt", std::string(2 << 20, 'x'));
  const auto data = *open_dataset(config_of("image_folder", folder.path().string()));
  CHECK(data->read(0, {})->caption == words);
  CHECK_THAT(message_of(data->read(1, {}).status()),
             Contains("b.png") && Contains("the caption is too long (2097152 bytes"));
}

TEST_CASE("image_folder reads images and their captions recursively", "[data]") {
  const TemporaryFolder folder;
  CHECK_THAT(error_of(config_of("image_folder", folder.path().string())), Contains("no images in"));
  folder.write("b.png", png(8, 8, 200));
  folder.write("b.txt", "two lines\nof text\r\n");
  folder.write("deep/er/a.PNG", png(16, 8, 100));
  folder.write("deep/er/c.dots.png", png(8, 8, 0));
  folder.write("deep/er/c.dots.txt", "dots");
  folder.write(".hidden.png", png(8, 8, 0));
  folder.write("bad.jpg", "nothing");
  folder.write("notes.md", "no image");
  folder.write("utf.png", png(8, 8, 0));
  folder.write("utf.txt", "\xc0\x80");
  const auto data = *open_dataset(config_of("image_folder", folder.path().string()));
  REQUIRE(data->size() == 5);
  CHECK(data->describe(0) == "b.png");
  const Sample first = *data->read(0, {});
  CHECK(first.key == "b.png");
  CHECK(first.caption == "two lines\nof text");
  CHECK(red_of(first) == value_of(200));
  CHECK_THAT(message_of(data->read(1, {}).status()), Contains("bad.jpg: [image] not a JPEG"));
  CHECK(data->read(2, {})->key == "deep/er/a.PNG");
  CHECK(data->read(2, {})->caption.empty());
  CHECK(data->read(3, {})->caption == "dots");
  CHECK_THAT(message_of(data->read(4, {}).status()), Contains("utf.png: the caption is not UTF-8"));
  CHECK_THAT(error_of(config_of("image_folder", folder.file("b.png"))), Contains("is no folder"));
}

TEST_CASE("dummy is one picture of noise, 128 times", "[data]") {
  const auto data = *open_dataset(config_of("dummy", "", 256));
  REQUIRE(data->size() == 128);
  const Sample a = *data->read(13, {}), b = *data->read(100, {});
  CHECK(a.caption == "A photo of a cat");
  CHECK(a.key == "13");
  CHECK(a.fields.get("timestep").item<int64_t>() == 5);
  CHECK(at::equal(a.fields.get("image"), b.fields.get("image")));
  CHECK(a.fields.get("image").sizes().vec() == std::vector<int64_t>{3, 256, 256});
  CHECK(a.fields.get("image").std().item<float>() == Approx(0.577).margin(0.01));  // 1/sqrt(3)
  CHECK((*open_dataset(config_of("dummy", "", 32)))->read(0, {})->fields.get("image").size(2) ==
        32);
}

TEST_CASE("A loader of captioned images hands on captions and keys and names what it skips",
          "[data]") {
  const TarFolder folder;
  TarBuilder tar;
  for (int i = 0; i < 20; ++i) {
    const std::string key = std::to_string(i);
    tar.add(key + ".png", i == 7 ? png(2, 2, 0) : png(12, 8, static_cast<std::uint8_t>(i)));
    tar.add(key + ".txt", str_cat("t", key));
  }
  folder.write("x.tar", tar.finished());
  const std::shared_ptr<const Dataset> data =
      *open_dataset(config_of("cc12m_test", folder.path().string()));
  const DataLoaderOptions options{
      .micro_batch = 10, .global_batch = 10, .seed = 3, .max_broken_share = 0.1};
  auto one = *DataLoader::create(data, options), other = *DataLoader::create(data, options);
  std::set<std::string> seen;
  for (int step = 0; step < 2; ++step) {
    const Batch batch = *one->next(), again = *other->next();
    REQUIRE(batch.keys.size() == 10);
    CHECK(batch.keys == again.keys);
    CHECK(at::equal(batch.fields.get("image"), again.fields.get("image")));
    for (std::size_t i = 0; i < batch.keys.size(); ++i) {
      CHECK(batch.captions[i] == str_cat("t", batch.keys[i]));
      seen.insert(batch.keys[i]);
    }
  }
  CHECK(seen.size() == 19);  // of one epoch; the place of the small one is filled by another
  CHECK(one->stats().broken == 1);
}

}  // namespace
}  // namespace titan
