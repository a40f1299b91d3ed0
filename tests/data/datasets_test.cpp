// The built-in data sets but webdataset, and the registry.
#include "tests/support/catch.h"

#include <ATen/ATen.h>

#include "titan/config/job_config.h"
#include "titan/data/dataset.h"
#include "titan/data/real_samples.h"
#include "titan/data/tensor_file.h"
#include "titan/io/image_write.h"

#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::TemporaryFolder;

JobConfig dataset_config(const std::string& name, const std::string& path = "") {
  JobConfig config;
  config.training.dataset = name;
  if (!path.empty()) config.training.dataset_path = path;
  config.dataset.image_size = {8, 8};
  return config;
}

std::string dataset_error(const JobConfig& config) {
  return message_of(open_dataset(config).status());
}

TEST_CASE("The registry names the data sets it knows", "[data]") {
  CHECK_THAT(dataset_error(dataset_config("imagnet")),
             Contains("'imagnet'") &&
                 Contains("cc12m_disk, cc12m_preprocessed, cc12m_test, cc12m_wds, cc12m_wds_30k, "
                          "cifar10, class_folder, coco, coco_preprocessed, dummy"));
  const DatasetFactory factory = [](const JobConfig& config) -> StatusOr<std::unique_ptr<Dataset>> {
    return invalid_argument("mine, with seed ", config.training.img_size);
  };
  REQUIRE(register_dataset("mine", factory).ok());
  CHECK_THAT(dataset_error(dataset_config("mine")), Contains("mine, with seed 256"));
  CHECK(register_dataset("mine", factory).code() == absl::StatusCode::kAlreadyExists);
  CHECK_FALSE(register_dataset("cifar10", factory).ok());
  reset_dataset_registry();
  CHECK_THAT(dataset_error(dataset_config("mine")), Contains("no known data set"));
}

TEST_CASE("Synthetic samples are a function of their index and tell classes apart", "[data]") {
  JobConfig config = dataset_config("synthetic");
  config.dataset.channels = 4;
  config.dataset.image_size = {6, 10};
  const auto dataset = *open_dataset(config);
  CHECK(dataset->num_classes() == 10);
  const Sample a = *dataset->read(13, {});
  CHECK(a.fields.get("image").sizes().vec() == std::vector<int64_t>{4, 6, 10});
  CHECK(a.fields.get("label").item<int64_t>() == 3);
  CHECK(dataset->label_of(13) == 3);
  CHECK(at::equal(a.fields.get("image"), dataset->read(13, {})->fields.get("image")));
  const at::Tensor same_class = dataset->read(23, {})->fields.get("image");
  CHECK_FALSE(at::equal(a.fields.get("image"), same_class));
  // Mean of 60 uniform values of width 1: deviation 0.04.
  CHECK((a.fields.get("image").mean({1, 2}) - same_class.mean({1, 2})).abs().max().item<float>() <
        0.3F);
}

std::string cifar_record(char label, char red) {
  return label + std::string(1024, red) + std::string(1024, '\x40') + std::string(1024, '\x80');
}

TEST_CASE("CIFAR-10's binary files are read in place", "[data]") {
  const TemporaryFolder folder;
  JobConfig config = dataset_config("cifar10", folder.path().string());
  config.dataset.image_size = {32, 32};
  CHECK_THAT(dataset_error(config), Contains("no data_batch_*.bin"));
  folder.write("cifar-10-batches-bin/data_batch_1.bin",
               cifar_record(3, '\xff') + cifar_record(7, '\0'));
  folder.write("cifar-10-batches-bin/data_batch_2.bin",
               cifar_record(9, '\0') + cifar_record(12, '\0'));
  folder.write("cifar-10-batches-bin/test_batch.bin", cifar_record(1, '\0'));
  const auto dataset = *open_dataset(config);
  REQUIRE(dataset->size() == 4);
  CHECK(dataset->num_classes() == 10);
  CHECK(dataset->class_names()[3] == "cat");
  const Sample first = *dataset->read(0, {});
  CHECK(first.fields.get("label").item<int64_t>() == 3);
  const at::Tensor image = first.fields.get("image");
  CHECK(image.sizes().vec() == std::vector<int64_t>{3, 32, 32});
  CHECK(image[0][0][0].item<float>() == 1.0F);
  CHECK(image[1][31][31].item<float>() == Approx(64 / 255.0 * 2 - 1));
  CHECK(dataset->label_of(1) == 7);
  CHECK(dataset->describe(2) == "data_batch_2.bin:0");
  const Status bad = dataset->read(3, {}).status();
  CHECK_THAT(message_of(bad),
             Contains("data_batch_2.bin:1") && Contains("class id out of range (12"));

  folder.write("cifar-10-batches-bin/data_batch_3.bin", std::string(5000, 'x'));
  CHECK_THAT(dataset_error(config), Contains("data_batch_3.bin") && Contains("3073"));
}

Image one_colour(int width, int height, std::uint8_t red) {
  Image image(width, height, PixelMode::kRgb);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) image.pixels[i] = red;
  return image;
}

void write_picture(const std::string& path, const Image& image) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  REQUIRE(write_png(path, image).ok());
}

TEST_CASE("Class folders are sorted classes of images", "[data]") {
  const TemporaryFolder folder;
  JobConfig config = dataset_config("class_folder", folder.path().string());
  CHECK_THAT(dataset_error(config), Contains("no images"));
  write_picture(folder.file("zebra/b.png"), one_colour(8, 8, 200));
  write_picture(folder.file("ant/deep/a.PNG"), one_colour(16, 8, 100));
  write_picture(folder.file("ant/small.png"), one_colour(4, 4, 50));
  folder.write("zebra/broken.jpg", "no image");
  folder.write("zebra/notes.txt", "not one either");
  const auto dataset = *open_dataset(config);
  REQUIRE(dataset->size() == 4);
  CHECK(dataset->class_names() == std::vector<std::string>{"ant", "zebra"});
  CHECK(dataset->describe(0) == "ant/deep/a.PNG");
  CHECK(dataset->label_of(2) == 1);
  CHECK(dataset->read(0, {})->fields.get("image").sizes().vec() == std::vector<int64_t>{3, 8, 8});
  CHECK(dataset->read(1, {}).ok());  // enlarged
  CHECK_THAT(message_of(dataset->read(3, {}).status()), Contains("zebra/broken.jpg"));
  CHECK(find_samples_of_class(*dataset, 1, 5) == std::vector<int64_t>{2, 3});

  const at::Tensor real = *read_real_samples(*dataset, {1, 0, 1}, 0);
  CHECK(real.sizes().vec() == std::vector<int64_t>{3, 3, 8, 8});
  CHECK(real[0][0][0][0].item<float>() == Approx(200 / 255.0 * 2 - 1));
  CHECK(at::equal(real[2], at::zeros({3, 8, 8})));  // broken.jpg: gray

  config.dataset.allow_upscale = false;
  const Status small = (*open_dataset(config))->read(1, {}).status();
  CHECK(small.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(message_of(small), Contains("ant/small.png") && Contains("smaller than asked"));
  config.dataset.num_classes = 1;
  CHECK_THAT(dataset_error(config), Contains("has 2 classes, more than dataset.num_classes = 1"));
  CHECK_THAT(dataset_error(dataset_config("class_folder", folder.file("absent"))),
             Contains("does not exist"));
  CHECK_THAT(dataset_error(dataset_config("class_folder")), Contains("dataset_path is not set"));
}

TEST_CASE("Latents are views of mapped shards, 8-bit ones dequantised", "[data]") {
  const TemporaryFolder folder;
  JobConfig config = dataset_config("latents", folder.path().string());
  config.dataset.image_size = {};
  CHECK_THAT(dataset_error(config), Contains("no *.safetensors"));
  const at::Tensor bytes = at::arange(-12, 12, at::kChar).reshape({3, 2, 2, 2});
  REQUIRE(write_tensor_file(folder.file("a.safetensors"),
                            {{"labels", at::tensor({4, 0, 2}, at::kInt)}, {"latents", bytes}})
              .ok());
  REQUIRE(write_tensor_file(folder.file("b.safetensors"),
                            {{"latents", at::full({2, 2, 2, 2}, 1.5, at::kBFloat16)},
                             {"labels", at::tensor({1, 9}, at::kLong)}})
              .ok());
  const auto dataset = *open_dataset(config);
  REQUIRE(dataset->size() == 5);
  CHECK(dataset->num_classes() == 10);
  const Sample first = *dataset->read(0, {});
  CHECK(first.fields.get("label").item<int64_t>() == 4);
  CHECK(at::allclose(first.fields.get("image"), bytes[0].to(at::kFloat) * 16 / 255));
  CHECK(at::equal(dataset->read(4, {})->fields.get("image"), at::full({2, 2, 2}, 1.5F)));
  CHECK(dataset->describe(4) == "b.safetensors:1");
  CHECK(dataset->label_of(3) == 1);

  config.dataset.num_classes = 9;
  CHECK_THAT(message_of((*open_dataset(config))->read(4, {}).status()),
             Contains("b.safetensors:1") && Contains("class id out of range (9"));
  config.dataset.image_size = {4, 4};
  CHECK_THAT(dataset_error(config), Contains("not resized"));
  config.dataset.image_size = {};
  REQUIRE(
      write_tensor_file(folder.file("c.safetensors"), {{"latents", at::zeros({1, 3, 2, 2})}}).ok());
  CHECK_THAT(dataset_error(config), Contains("shards differ") && Contains("c.safetensors"));
  REQUIRE(write_tensor_file(folder.file("c.safetensors"),
                            {{"indices", at::zeros({1, 2, 2}, at::kLong)}})
              .ok());
  CHECK_THAT(dataset_error(config), Contains("c.safetensors") && Contains("indices"));
  folder.write("c.safetensors", "garbage");
  CHECK_THAT(dataset_error(config), Contains("c.safetensors"));
}

TEST_CASE("Video latents keep their frames, unlabelled latents have no classes", "[data]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("v.safetensors");
  REQUIRE(write_tensor_file(path, {{"latents", at::ones({2, 4, 3, 2, 2}, at::kByte)}}).ok());
  JobConfig config = dataset_config("latents", path);
  config.dataset.image_size = {};
  const auto dataset = *open_dataset(config);
  CHECK(dataset->num_classes() == 0);
  const Sample sample = *dataset->read(1, {});
  CHECK(sample.fields.get("image").sizes().vec() == std::vector<int64_t>{4, 3, 2, 2});
  CHECK_FALSE(sample.fields.contains("label"));
  CHECK((*read_real_samples(*dataset, {0, 0}, 0)).sizes().vec() ==
        std::vector<int64_t>{2, 4, 3, 2, 2});
}

}  // namespace
}  // namespace titan
