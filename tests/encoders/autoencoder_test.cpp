#include "tests/support/catch.h"

#include "titan/models/encoders/autoencoder.h"

#include <utility>

#include "titan/data/tensor_file.h"
#include "titan/parallel/engine.h"

#include "tests/encoders/encoder_testing.h"
#include "tests/support/fill.h"
#include "tests/support/ranks.h"

namespace titan {
namespace {

using namespace titan::testing;
using models::Autoencoder;
using models::AutoencoderConfig;

/// Appendix A4 of the specification.
AutoencoderConfig tiny_config() {
  AutoencoderConfig config;
  config.ch = 32;
  config.widths = {32, 64};
  config.blocks = 1;
  config.z_channels = 4;
  return config;
}

Spread tiny_spread(const std::string& name) {
  return {0.2, name.find("norm") != name.npos && name.ends_with("weight") ? 1.0 : 0.0};
}

struct TinyAutoencoder {
  TemporaryFolder folder;
  Autoencoder network;
  std::string weights;
  explicit TinyAutoencoder(const AutoencoderConfig& config = tiny_config())
      : network(config, at::kFloat), weights(write_filled(folder, network, tiny_spread)) {
    const Status loaded = load_network(network, weights);
    INFO(message_of(loaded));
    REQUIRE(loaded.ok());
  }
};

TEST_CASE("A tiny autoencoder gives the numbers of the specification", "[encoders]") {
  const TinyAutoencoder tiny;
  const models::Posterior posterior = tiny.network.encode(fill("input.image", {1, 3, 16, 16}, 2));
  REQUIRE(posterior.mean.sizes() == at::IntArrayRef({1, 4, 8, 8}));
  REQUIRE(posterior.mean.is_contiguous());
  REQUIRE_FALSE(posterior.mean.requires_grad());
  const auto near = [](const at::Tensor& ours, const at::Tensor& expected) {
    return torch::allclose(ours, expected, 1e-5, 1e-5);
  };
  CHECK(posterior.mean.sum().item<double>() == Approx(-29.557070).epsilon(1e-5));
  CHECK(posterior.logvar.sum().item<double>() == Approx(-37.995064).epsilon(1e-5));
  CHECK(near(posterior.mean[0][0][0].narrow(0, 0, 4),
             torch::tensor({-0.303471, -0.368483, -1.523180, -0.257325})));
  CHECK(near(posterior.logvar[0][3][7].narrow(0, 4, 4),
             torch::tensor({-0.217355, -0.901013, -0.420162, -0.015964})));
  const at::Tensor image = tiny.network.decode(posterior.mean);
  REQUIRE(image.sizes() == at::IntArrayRef({1, 3, 16, 16}));
  REQUIRE(image.is_contiguous());
  CHECK(image.sum().item<double>() == Approx(70.570567).epsilon(1e-5));
  CHECK(image.abs().sum().item<double>() == Approx(318.369009).epsilon(1e-5));
  CHECK(near(image[0][0][0].narrow(0, 0, 4),
             torch::tensor({-0.068378, -0.214581, 0.040195, 0.306703})));
}

TEST_CASE("The published sizes have the published numbers of parameters", "[encoders]") {
  const Autoencoder flux(AutoencoderConfig(), at::TensorOptions(at::kMeta));
  const std::vector<ModelUnit> units = flux.units();
  REQUIRE(units.size() == 2);
  const auto count = [](const ModelUnit& unit) {
    int64_t sum = 0;
    for (const at::Tensor& parameter : unit.parameters) sum += parameter.numel();
    return sum;
  };
  CHECK(count(units[0]) == 34'274'208);
  CHECK(count(units[1]) == 49'545'475);
  CHECK(flux.parameters().size() == 244);
  CHECK(flux.config().reduction() == 8);
}

TEST_CASE("Odd sides lose a pixel at each halving", "[encoders]") {
  AutoencoderConfig config = tiny_config();
  config.widths = {32, 32, 32};
  const TinyAutoencoder tiny(config);
  const auto latent = [&](int64_t height, int64_t width) {
    return tiny.network.encode(torch::zeros({2, 3, height, width})).mean.sizes().vec();
  };
  CHECK(latent(17, 22) == std::vector<int64_t>{2, 4, 4, 5});
  CHECK(latent(4, 4) == std::vector<int64_t>{2, 4, 1, 1});
  CHECK(latent(30, 21) == std::vector<int64_t>{2, 4, 7, 5});
  CHECK(tiny.network.decode(torch::zeros({1, 4, 3, 5})).sizes().vec() ==
        std::vector<int64_t>{1, 3, 12, 20});
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(latent(3, 8), Contains("sides of at least 4"));
  CHECK_THROWS_WITH(tiny.network.encode(torch::zeros({1, 1, 8, 8})), Contains("[B, 3, H, W]"));
  CHECK_THROWS_WITH(tiny.network.decode(torch::zeros({1, 3, 8, 8})), Contains("[B, 4, h, w]"));
}

TEST_CASE("What a convolution sees does not depend on the batch or on memory order", "[encoders]") {
  const TinyAutoencoder tiny;
  const at::Tensor images = fill("batch", {3, 3, 18, 14}, 2);
  const at::Tensor all = tiny.network.encode(images).mean;
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor one = images.narrow(0, i, 1).contiguous(at::MemoryFormat::ChannelsLast);
    // Float32 sums of some hundred terms in another order, as between two implementations.
    CHECK(relative_difference(tiny.network.encode(one).mean, all.narrow(0, i, 1)) < 2e-5);
  }
}

/// The file's tensors as diffusers names and shapes them.
std::string write_diffusers(const TinyAutoencoder& tiny) {
  const std::string path = tiny.folder / "diffusers/model.safetensors";
  std::filesystem::create_directories(tiny.folder.path() / "diffusers");
  const std::vector<std::pair<std::string, std::string>> renames = {
      {"encoder.down.", "encoder.down_blocks."},
      {"decoder.up.0.", "decoder.up_blocks.1."},
      {"decoder.up.1.", "decoder.up_blocks.0."},
      {".block.", ".resnets."},
      {".downsample.", ".downsamplers.0."},
      {".upsample.", ".upsamplers.0."},
      {".mid.block_1.", ".mid_block.resnets.0."},
      {".mid.block_2.", ".mid_block.resnets.1."},
      {".mid.attn_1.norm.", ".mid_block.attentions.0.group_norm."},
      {".mid.attn_1.q.", ".mid_block.attentions.0.to_q."},
      {".mid.attn_1.k.", ".mid_block.attentions.0.to_k."},
      {".mid.attn_1.v.", ".mid_block.attentions.0.to_v."},
      {".mid.attn_1.proj_out.", ".mid_block.attentions.0.to_out.0."},
      {"nin_shortcut", "conv_shortcut"},
      {"r.norm_out.", "r.conv_norm_out."}};
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& parameter : tiny.network.named_parameters()) {
    std::string name = parameter.key();
    for (const auto& [from, to] : renames) {
      const std::size_t at = name.find(from);
      if (at != name.npos) name.replace(at, from.size(), to);
    }
    const bool linear = name.find(".to_") != name.npos;
    tensors.emplace_back(name, linear && parameter.value().dim() == 4 ? parameter.value().flatten(1)
                                                                      : parameter.value());
  }
  REQUIRE(write_tensor_file(path, tensors).ok());
  return path;
}

TEST_CASE("An autoencoder is read under diffusers' names", "[encoders]") {
  const TinyAutoencoder tiny;
  const std::string path = write_diffusers(tiny);
  const auto config = models::read_autoencoder_config(path);
  INFO((config.ok() ? "" : message_of(config.status())));
  REQUIRE(config.ok());
  CHECK(config->widths == tiny.network.config().widths);
  Autoencoder network(*config, at::kFloat);
  const Status loaded = load_network(network, path);
  INFO(message_of(loaded));
  REQUIRE(loaded.ok());
  for (const auto& parameter : network.named_parameters())
    CHECK(torch::equal(parameter.value(), tiny.network.named_parameters()[parameter.key()]));
}

TEST_CASE("A config.json beside the weights says what shapes do not", "[encoders]") {
  const TinyAutoencoder tiny;
  const std::string path = write_diffusers(tiny);
  using Catch::Matchers::Contains;
  const auto config_with = [&](const std::string& json) {
    tiny.folder.write("diffusers/config.json", json);
    return models::read_autoencoder_config(path);
  };
  CHECK(config_with(R"({"norm_num_groups": 16, "act_fn": "silu"})")->norm_groups == 16);
  CHECK(config_with(R"({"_class_name": "FluxTransformer2DModel", "act_fn": "x"})").ok());
  CHECK_THAT(message_of(config_with(R"({"act_fn": "mish"})").status()),
             Contains("config.json: act_fn is \"mish\", only silu"));
  CHECK_THAT(message_of(config_with(R"({"norm_num_groups": 12})").status()),
             Contains("a multiple of the norms' 12 groups (width 32)"));
  CHECK_THAT(message_of(models::read_autoencoder_config(tiny.folder / "none").status()),
             Contains("none"));
}

TEST_CASE("The two halves of an autoencoder work on slices too", "[encoders]") {
  const TinyAutoencoder tiny;
  const at::Tensor image = fill("input.image", {1, 3, 16, 16}, 2);
  at::set_num_threads(1);
  const at::Tensor mean = tiny.network.encode(image).mean, decoded = tiny.network.decode(mean);
  std::vector<int> equal(2, 0);
  run_mesh({.dp_shard = 2},
           [&](const parallel::DeviceMesh& mesh, const parallel::MeshGroups& groups) {
             Autoencoder network(tiny_config(), at::kFloat);
             const Status loaded = load_network(network, tiny.weights);
             TITAN_CHECK(loaded.ok(), message_of(loaded));
             parallel::ParallelEngine engine(network.units(), groups,
                                             parallel::engine_options({}, mesh, at::kCPU).value());
             network.set_hooks(&engine);
             bool same = true;
             for (int pass = 0; pass < 2; ++pass) {  // any order: decode alone, encode alone, both
               same = same && torch::equal(network.decode(mean), decoded);
               same = same && torch::equal(network.encode(image).mean, mean);
               same = same && torch::equal(network.encode(image).mean, mean);
             }
             equal[static_cast<std::size_t>(mesh.rank())] = same ? 1 : 0;
           });
  CHECK(equal == std::vector<int>{1, 1});
}

}  // namespace
}  // namespace titan
