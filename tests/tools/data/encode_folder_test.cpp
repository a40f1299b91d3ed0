#include "tests/support/catch.h"

#include "titan/tools/data/encode_folder.h"

#include <torch/script.h>

#include <filesystem>

#include "tests/support/fill.h"
#include "tests/support/temporary_folder.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/sample_parts.h"
#include "titan/data/tensor_file.h"
#include "titan/io/image_write.h"
#include "titan/models/encoders/autoencoder.h"
#include "titan/tools/convert_data.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using testing::TemporaryFolder;

constexpr int kSide = 16;

Image striped(int width, int height, int seed) {
  Image image(width, height, PixelMode::kRgb);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(i * static_cast<std::size_t>(seed) / 3);
  return image;
}

/// Five pictures of three classes, one of them empty; a small autoencoder, and its weights.
struct Folders {
  TemporaryFolder folder;
  std::vector<Image> pictures = {striped(20, 16, 1), striped(16, 30, 2), striped(40, 40, 3),
                                 striped(16, 16, 4), striped(21, 18, 5)};
  models::Autoencoder network;
  std::string weights = folder / "ae.safetensors";

  static models::AutoencoderConfig config() {
    models::AutoencoderConfig config;
    config.ch = 32;
    config.widths = {32, 32};
    config.blocks = 1;
    config.z_channels = 4;
    return config;
  }
  Folders() : network(config(), at::kFloat) {
    const char* names[] = {"ant/1.png", "ant/2.png", "bee/1.png", "cow/1.png", "cow/2.png"};
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      fs::create_directories((folder.path() / "in" / names[i]).parent_path());
      REQUIRE(write_png(folder / (std::string("in/") + names[i]), pictures[i]).ok());
    }
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    const torch::NoGradGuard no_grad;
    for (auto& parameter : network.named_parameters()) {
      const bool is_scale =
          parameter.key().find("norm") != std::string::npos && parameter.key().ends_with("weight");
      parameter.value().copy_(
          testing::fill(parameter.key(), parameter.value().sizes(), 0.2, is_scale ? 1.0 : 0.0));
      tensors.emplace_back(parameter.key(), parameter.value());
    }
    REQUIRE(write_tensor_file(weights, tensors).ok());
  }

  EncodeFolderOptions options() const {
    EncodeFolderOptions options{.input = folder / "in", .output = folder / "out"};
    options.autoencoder = weights;
    options.image_size = kSide;
    options.dtype = "float32";
    options.device = "cpu";
    options.batch_size = 2;
    options.num_threads = 2;
    return options;
  }
  /// [1, 3, side, side] of a picture, covered and cropped in the middle.
  at::Tensor image(std::size_t i) const {
    TrainingImageOptions how;
    how.height = how.width = kSide;
    how.crop = CropRule::kCenter;
    const auto prepared = prepare_training_image(pictures[i], how, {});
    REQUIRE(prepared.ok());
    return image_tensor(*prepared).unsqueeze(0);
  }
};

/// All of a folder's shards, in order.
std::pair<at::Tensor, at::Tensor> read_latents(const std::string& folder, int num_files) {
  std::vector<at::Tensor> latents, labels;
  for (int i = 0; i < num_files; ++i) {
    const auto file = TensorFile::open(str_cat(folder, "/latents-0000", i, ".safetensors"));
    REQUIRE(message_of(file.status()).empty());
    latents.push_back(file->view("latents")->clone());
    labels.push_back(file->view("labels")->clone());
  }
  CHECK(!fs::exists(str_cat(folder, "/latents-0000", num_files, ".safetensors")));
  return {at::cat(latents), at::cat(labels)};
}

const std::vector<int64_t> kLabels = {0, 0, 1, 2, 2};

}  // namespace

TEST_CASE("encode-folder: latents are the autoencoder's scaled means", "[tools]") {
  const Folders folders;
  EncodeFolderOptions options = folders.options();
  options.rows_per_file = 3;
  REQUIRE(message_of(encode_folder(options)).empty());
  const auto [latents, labels] = read_latents(options.output, 2);
  CHECK(torch::equal(labels, torch::tensor(kLabels)));
  REQUIRE(latents.sizes() == at::IntArrayRef({5, 4, 8, 8}));
  for (std::size_t i = 0; i < 5; ++i) {
    const at::Tensor mean = folders.network.encode(folders.image(i)).mean;
    // Convolutions of another batch size round otherwise.
    CHECK(
        torch::allclose(latents[static_cast<int64_t>(i)], (mean[0] - 0.1159) * 0.3611, 1e-4, 1e-5));
  }
  CHECK(testing::slurp(folders.folder / "out/classes.txt") == "ant\nbee\ncow\n");

  JobConfig config;
  config.training.dataset = "latents";
  config.training.dataset_path = options.output;
  const auto dataset = open_latents(config);
  REQUIRE(message_of(dataset.status()).empty());
  CHECK((*dataset)->size() == 5);
  CHECK((*dataset)->num_classes() == 3);
  CHECK(torch::equal((*dataset)->read(3, {})->fields.get("image"), latents[3]));
}

TEST_CASE("encode-folder: mirror images stand behind their pictures", "[tools]") {
  const Folders folders;
  EncodeFolderOptions options = folders.options();
  options.flip = true;
  options.has_scale = options.has_shift = true;
  options.scale = 2;
  options.shift = 0.5;
  REQUIRE(message_of(encode_folder(options)).empty());
  const auto [latents, labels] = read_latents(options.output, 1);
  REQUIRE(latents.size(0) == 10);
  for (int64_t i = 0; i < 5; ++i) {
    const at::Tensor image = folders.image(static_cast<std::size_t>(i));
    const at::Tensor mirrored = folders.network.encode(image.flip({-1})).mean;
    CHECK(torch::allclose(latents[2 * i + 1], (mirrored[0] - 0.5) * 2, 1e-4, 1e-4));
    CHECK(!torch::allclose(latents[2 * i], latents[2 * i + 1], 1e-3, 1e-3));
    CHECK(labels[2 * i + 1].item<int64_t>() == kLabels[static_cast<std::size_t>(i)]);
  }
}

TEST_CASE("encode-folder: draws depend on seed and row, not on the batch", "[tools]") {
  const Folders folders;
  EncodeFolderOptions options = folders.options();
  options.latents = "sampled";
  const auto sampled = [&](std::uint64_t seed, int64_t batch_size) {
    options.seed = seed;
    options.batch_size = batch_size;
    options.output = folders.folder / str_cat("s", seed, "-", batch_size);
    REQUIRE(message_of(encode_folder(options)).empty());
    return read_latents(options.output, 1).first;
  };
  const at::Tensor first = sampled(1, 2);
  CHECK(torch::allclose(first, sampled(1, 5), 1e-4, 1e-5));
  CHECK(!torch::allclose(first, sampled(2, 2), 1e-2, 1e-2));
  // The draw's spread is exp(logvar / 2).
  const models::Posterior posterior = folders.network.encode(folders.image(0));
  const at::Tensor noise =
      (first[0] / 0.3611 + 0.1159 - posterior.mean[0]) / (posterior.logvar[0] / 2).exp();
  CHECK(noise.abs().max().item<double>() < 6);
  CHECK(noise.std().item<double>() == Approx(1).margin(0.3));  // 256 draws
}

TEST_CASE("encode-folder: a TorchScript encoder's latents are stored as they are", "[tools]") {
  const Folders folders;
  torch::jit::Module module("tokenizer");
  module.register_parameter("gain", torch::full({1}, 3.0), /*is_buffer=*/false);
  module.define("def forward(self, x):\n    return x[:, :, ::4, ::4] * self.gain\n");
  const std::string path = folders.folder / "encoder.jit";
  module.save(path);
  EncodeFolderOptions options = folders.options();
  options.autoencoder = "";
  options.torchscript = path;
  options.dtype = "bfloat16";
  REQUIRE(message_of(encode_folder(options)).empty());
  const auto [latents, labels] = read_latents(options.output, 1);
  CHECK(latents.scalar_type() == at::kBFloat16);
  const at::Tensor expected = folders.image(4)[0].slice(1, 0, {}, 4).slice(2, 0, {}, 4) * 3;
  CHECK(torch::equal(latents[4], expected.to(at::kBFloat16)));
}

TEST_CASE("encode-folder names what is wrong and leaves nothing behind", "[tools]") {
  const Folders folders;
  const auto refusal = [&](auto change) {
    EncodeFolderOptions options = folders.options();
    change(options);
    const std::string message = message_of(encode_folder(options));
    CHECK(!fs::exists(folders.folder / "out"));
    return message;
  };
  using O = EncodeFolderOptions;
  CHECK_THAT(refusal([](O& o) { o.autoencoder = ""; }), Contains("one of them"));
  CHECK_THAT(refusal([](O& o) { o.torchscript = "x"; }), Contains("one of them"));
  CHECK_THAT(refusal([](O& o) { o.dtype = "int8"; }), Contains("--dtype must be"));
  CHECK_THAT(refusal([](O& o) { o.latents = "mode"; }), Contains("--latents must be"));
  CHECK_THAT(refusal([](O& o) { o.autoencoder += "x"; }), Contains("ae.safetensorsx"));
  CHECK_THAT(refusal([](O& o) { o.input += "x"; }), Contains("inx"));
  folders.folder.write("in/bee/2.jpg", "no picture");
  CHECK_THAT(refusal([](O&) {}), Contains("bee/2.jpg: [image]"));
  fs::remove(folders.folder / "in/bee/2.jpg");
  folders.folder.write("out/file", "x");
  CHECK_THAT(message_of(encode_folder(folders.options())), Contains("never overwritten"));
  CHECK(convert_data_main({"encode-folder", "a"}) == 2);
  CHECK(convert_data_main({"encode-folder", "a", "b", "--flip=maybe"}) == 2);
  CHECK(convert_data_main({"encode-folder", "--help"}) == 0);
}

}  // namespace titan::tools
