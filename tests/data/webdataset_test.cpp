#include "tests/support/catch.h"

#include <algorithm>
#include <set>

#include <ATen/ATen.h>
#include <stdlib.h>

#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
#include "titan/data/real_samples.h"
#include "titan/data/webdataset_fields.h"
#include "titan/io/image_write.h"

#include "tests/support/golden.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::TarBuilder;
using testing::TemporaryFolder;

/// A folder of tars with its cache inside.
class WebFolder : public TemporaryFolder {
 public:
  WebFolder() { ::setenv("TITAN_CACHE", file("cache").c_str(), 1); }
  ~WebFolder() { ::unsetenv("TITAN_CACHE"); }
};

JobConfig tar_config(const std::string& path) {
  JobConfig config;
  config.training.dataset = "webdataset";
  config.training.dataset_path = path;
  config.dataset.image_size = {8, 8};
  return config;
}

std::string tar_error(const JobConfig& config) { return message_of(open_dataset(config).status()); }

std::string jpeg(int side, std::uint8_t gray) {
  Image image(side, side, PixelMode::kGray);
  std::fill(image.pixels.begin(), image.pixels.end(), gray);
  const auto bytes = *encode_jpeg(image);
  return {bytes.begin(), bytes.end()};
}

float pixel(const Sample& sample) { return sample.fields.get("image")[0][0][0].item<float>(); }

TEST_CASE("Text members give caption and class", "[data]") {
  const auto decode = [](const TextMembers& members) {
    return *decode_text_members(members, "cls");
  };
  CHECK(decode({.txt = "a", .json = R"({"caption":"b","cls":3})", .label = {}}).caption == "a");
  CHECK(decode({.txt = "a", .json = R"({"caption":"b","cls":3})", .label = {}}).label == 3);
  CHECK(decode({.txt = {}, .json = R"({"caption":"b"})", .label = " 7\n"}).caption == "b");
  CHECK(decode({.txt = {}, .json = R"({"cls":3})", .label = " 7\n"}).label == 7);
  CHECK_FALSE(decode({.txt = {}, .json = "[1, 2]", .label = {}}).caption.has_value());
  const auto error = [](const TextMembers& members) {
    return message_of(decode_text_members(members, "cls").status());
  };
  CHECK_THAT(error({.txt = "\xff", .json = {}, .label = {}}), Contains("not UTF-8"));
  CHECK_THAT(error({.txt = {}, .json = "{oops", .label = {}}), Contains("does not parse"));
  CHECK_THAT(error({.txt = {}, .json = {}, .label = "cat"}), Contains("no integer ('cat')"));
  CHECK_THAT(error({.txt = {}, .json = {}, .label = ""}), Contains("no integer"));
  CHECK(decode({.txt = {}, .json = R"({"cls":"0003"})", .label = {}}).label == 3);
  CHECK_THAT(error({.txt = {}, .json = R"({"cls":"cat"})", .label = {}}), Contains("no integer"));
  CHECK_THAT(error({.txt = {}, .json = R"({"cls":3.5})", .label = {}}), Contains("no integer"));
  CHECK(is_utf8("caf\u00e9 \U0001F600"));
  for (const char* bad :
       {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "\x80"})
    CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("A folder of tars is one data set in sorted order", "[data]") {
  const WebFolder folder;
  folder.write(
      "b.tar",
      TarBuilder().add("0.jpg", jpeg(8, 200)).add("0.cls", "1").add("0.txt", "last").finished());
  folder.write("a.tar", TarBuilder()
                            .add("x/0.JPG", jpeg(16, 100))
                            .add("x/0.CLS", "0")
                            .add("x/0.json", R"({"caption":"from json"})")
                            .add("x/1.jpg", "no image")
                            .add("x/1.cls", "0")
                            .add("x/2.jpg", jpeg(8, 0))
                            .add("x/2.cls", "5")
                            .add("x/3.txt", "no picture")
                            .add("x/4.jpg", jpeg(8, 0))
                            .finished());
  CHECK_THAT(tar_error(tar_config(folder.path().string())),
             Contains("classes.txt") && Contains("num_classes"));
  folder.write("classes.txt", "circle\r\nsquare\n");
  const auto dataset = *open_dataset(tar_config(folder.path().string()));
  REQUIRE(dataset->size() == 6);
  CHECK(dataset->num_classes() == 2);
  CHECK(dataset->class_names() == std::vector<std::string>{"circle", "square"});
  const Sample first = *dataset->read(0, {});
  CHECK(first.caption == "from json");
  CHECK(first.fields.get("label").item<int64_t>() == 0);
  CHECK(first.fields.get("image").sizes().vec() == std::vector<int64_t>{3, 8, 8});
  CHECK(pixel(first) == Approx(100 / 255.0 * 2 - 1));
  CHECK(dataset->read(5, {})->caption == "last");
  CHECK(dataset->describe(5) == "b.tar:0.jpg");
  CHECK(dataset->label_of(5) == 1);
  const auto problem = [&](int64_t index) {
    const Status status = dataset->read(index, {}).status();
    CHECK((status.code() == absl::StatusCode::kDataLoss ||
           status.code() == absl::StatusCode::kInvalidArgument));
    return message_of(status);
  };
  CHECK_THAT(problem(1), Contains("a.tar:x/1.jpg"));
  CHECK_THAT(problem(2), Contains("a.tar:x/2.jpg") && Contains("class id out of range (5"));
  CHECK_THAT(problem(3), Contains("a.tar:x/3") && Contains("no jpg, jpeg, png or webp member"));
  CHECK_THAT(problem(4), Contains("no class") && Contains("'cls'"));
  CHECK(find_samples_of_class(*dataset, 1, 3) == std::vector<int64_t>{5});
  CHECK_THROWS_WITH(dataset->read(6, {}), Contains("out of range"));

  CHECK((*open_dataset(tar_config(folder.file("b.tar"))))->size() == 1);
  CHECK((*open_dataset(tar_config(folder.file("[ab].tar"))))->size() == 6);
  const std::string before = dataset->fingerprint();
  folder.write("b.tar", TarBuilder().add("0.jpg", jpeg(8, 0)).finished());
  CHECK((*open_dataset(tar_config(folder.path().string())))->fingerprint() != before);
}

TEST_CASE("Webdataset paths that hold nothing are refused", "[data]") {
  const WebFolder folder;
  CHECK_THAT(tar_error(tar_config(folder.path().string())), Contains("no tars in"));
  CHECK_THAT(tar_error(tar_config(folder.file("*.tar"))), Contains("no file fits"));
  CHECK_THAT(tar_error(tar_config(folder.file("absent"))), Contains("does not exist"));
  CHECK_THAT(tar_error(tar_config(folder.write("text.tar", "not a tar"))),
             Contains("text.tar is not a tar"));
  CHECK_THAT(tar_error(tar_config(folder.write("none.tar", std::string(1024, '\0')))),
             Contains("no samples"));
  CHECK_THAT(tar_error(tar_config(folder.write("zero.tar", ""))), Contains("empty"));
}

TEST_CASE("The samples before a tar's damage are used, the cut one is broken", "[data]") {
  const WebFolder folder;
  TarBuilder tar;
  for (int i = 0; i < 10; ++i)
    tar.add(std::to_string(i) + ".jpg", jpeg(8, 0)).add(std::to_string(i) + ".txt", "t");
  const std::string bytes = tar.bytes();
  const std::string path = folder.write("cut.tar", bytes.substr(0, bytes.size() - 1024 + 100));
  StatusOr<std::unique_ptr<Dataset>> opened = open_dataset(tar_config(path));
  REQUIRE(opened.ok());
  const std::shared_ptr<const Dataset> dataset = *std::move(opened);
  CHECK(dataset->size() == 10);
  CHECK(dataset->read(8, {}).ok());
  const Status cut = dataset->read(9, {}).status();
  CHECK(cut.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(message_of(cut),
             Contains("cut.tar:9") && Contains("is damaged") && Contains("member 9.jpg"));

  auto loader =
      *DataLoader::create(dataset, {.micro_batch = 5, .global_batch = 5, .max_broken_share = 0.2});
  for (int i = 0; i < 4; ++i) REQUIRE(loader->next().ok());
  CHECK(loader->stats().broken >= 2);  // once an epoch
}

TEST_CASE("Crops and flips are keyed by seed, sample and epoch", "[data]") {
  const WebFolder folder;
  Image wide(64, 8, PixelMode::kGray);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 64; ++x) wide.row(y)[x] = static_cast<std::uint8_t>(4 * x);
  const auto bytes = *encode_png(wide);
  JobConfig config = tar_config(
      folder.write("w.tar", TarBuilder().add("0.png", {bytes.begin(), bytes.end()}).finished()));
  config.dataset.flip = true;
  const auto dataset = *open_dataset(config);
  std::set<float> seen;
  for (std::uint32_t epoch = 0; epoch < 16; ++epoch) {
    const float value = pixel(*dataset->read(0, {.seed = 1, .epoch = epoch}));
    CHECK(value == pixel(*dataset->read(0, {.seed = 1, .epoch = epoch})));
    seen.insert(value);
  }
  CHECK(seen.size() > 8);
}

TEST_CASE("Golden tars: where the reference cannot decode a member, ours names tar and sample",
          "[data][golden]") {
  const auto root = testing::golden_root();
  if (!root || !std::filesystem::exists(*root / "data/webdataset/expected.json"))
    TITAN_SKIP(testing::kNoGolden);
  const WebFolder folder;
  const nlohmann::json expected =
      nlohmann::json::parse(testing::slurp((*root / "data/webdataset/expected.json").string()));
  int errors = 0;
  int read = 0;
  for (const nlohmann::json& file : expected.at("files")) {
    const std::string name = file.at("file");
    INFO(name);
    JobConfig config =
        tar_config(folder.write(name, testing::slurp((*root / "data/webdataset" / name).string())));
    config.dataset.num_classes = name.find("cls") == std::string::npos ? 0 : 10;
    const StatusOr<std::unique_ptr<Dataset>> dataset = open_dataset(config);
    if (!dataset.ok()) {
      CHECK(file.at("samples").empty());
      CHECK_THAT(message_of(dataset.status()), Contains(name));
      continue;
    }
    const std::string type =
        file.contains("error") ? file.at("error").at("type").get<std::string>() : "";
    if (type == "JSONDecodeError" || type == "UnicodeDecodeError") {
      ++errors;
      const Status status = (*dataset)->read(file.at("error").at("after_samples"), {}).status();
      CHECK(status.code() == absl::StatusCode::kDataLoss);
      CHECK_THAT(message_of(status), Contains(name + ":") && Contains("member"));
    }
    for (std::size_t i = 0; i < file.at("samples").size(); ++i) {
      const nlohmann::json& fields = file.at("samples")[i].at("fields");
      const StatusOr<Sample> sample = (*dataset)->read(static_cast<int64_t>(i), {});
      if (!sample.ok()) continue;
      ++read;
      if (fields.contains("txt")) {
        if (fields.at("txt").at("type") == "text")
          CHECK(sample->caption == fields.at("txt").at("value"));
      } else if (fields.contains("json")) {
        CHECK(sample->caption == fields.at("json").at("value").at("caption"));
      }
      if (fields.contains("cls"))
        CHECK(sample->fields.get("label").item<int64_t>() ==
              fields.at("cls").at("value").get<int64_t>());
    }
  }
  std::printf("[golden] webdataset: %d samples decoded, %d undecodable members named\n", read,
              errors);
  CHECK(errors > 0);
  CHECK(read > 0);
}

TEST_CASE("The real photographs decode, with captions", "[data][golden]") {
  const std::filesystem::path photos = "../shared/data/cc12m_test";
  if (!std::filesystem::exists(photos)) TITAN_SKIP("no ../shared/data/cc12m_test");
  const WebFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(photos))
    std::filesystem::copy(entry.path(), folder.path() / entry.path().filename());
  JobConfig config = tar_config(folder.path().string());
  config.dataset.image_size = {64, 64};
  const auto dataset = *open_dataset(config);
  CHECK(dataset->size() == 32);
  for (int64_t i = 0; i < dataset->size(); ++i) {
    INFO(dataset->describe(i));
    const StatusOr<Sample> sample = dataset->read(i, {});
    REQUIRE(sample.ok());
    CHECK_FALSE(sample->caption.empty());
    CHECK(sample->fields.get("image").abs().max().item<float>() <= 1.0F);
  }
}

}  // namespace
}  // namespace titan
