#include "tests/support/catch.h"

#include "titan/models/encoders/t5.h"

#include <algorithm>
#include <mutex>

#include "titan/checkpoint/recipe_reader.h"
#include "titan/models/encoders/t5_layers.h"
#include "titan/parallel/engine.h"
#include "titan/train/run_weights.h"

#include "tests/encoders/encoder_testing.h"
#include "tests/support/ranks.h"

namespace titan {
namespace {

using namespace titan::testing;
using models::T5Config;
using models::T5Encoder;

/// Appendix A5 of the specification.
const T5Config kTinyT5{.vocab = 40, .d_model = 16, .heads = 2, .d_kv = 8, .d_ff = 24, .layers = 2};

Spread t5_spread(const std::string& name) {
  if (name.find("norm") != name.npos) return {0.5, 1};
  const bool embedding = name == "shared.weight" || name.find("attention_bias") != name.npos;
  return {embedding ? 2.0 : 0.5, 0};
}

at::Tensor t5_ids() {
  return torch::tensor({{5, 17, 3, 1, 0, 0}, {39, 2, 8, 30, 11, 1}}, at::kLong);
}

/// The tiny encoder on the CPU, its weights through a file.
struct TinyT5 {
  TemporaryFolder folder;
  T5Encoder network;
  std::string weights;
  explicit TinyT5(const T5Config& config = kTinyT5, at::ScalarType dtype = at::kFloat)
      : network(config, at::TensorOptions().dtype(dtype)),
        weights(write_filled(folder, network, t5_spread)) {
    const Status loaded = load_network(network, weights);
    INFO(message_of(loaded));
    REQUIRE(loaded.ok());
  }
};

TEST_CASE("A tiny T5 gives the numbers of the specification", "[encoders]") {
  const at::Tensor out = TinyT5().network.forward(t5_ids());
  REQUIRE(out.sizes() == at::IntArrayRef({2, 6, 16}));
  REQUIRE_FALSE(out.requires_grad());
  CHECK(out.sum().item<double>() == Approx(-13.054337).epsilon(1e-4));
  CHECK(out.abs().sum().item<double>() == Approx(157.280521).epsilon(1e-5));
  const at::Tensor begin = torch::tensor({0.335446, -0.301313, 0.237938, 1.648390});
  const at::Tensor end = torch::tensor({-0.348497, -0.938839, 1.878442, -0.774314});
  CHECK(torch::allclose(out[0][0].narrow(0, 0, 4), begin, 1e-5, 1e-5));
  CHECK(torch::allclose(out[1][5].narrow(0, 12, 4), end, 1e-5, 1e-5));
}

TEST_CASE("Distances fall into T5's buckets", "[encoders]") {
  const int64_t length = 200;
  const at::Tensor buckets = models::t5_distance_buckets(length, 32, 128);
  REQUIRE(buckets.sizes() == at::IntArrayRef({2 * length - 1}));
  // First distance of each bucket behind the query; in front of it the same, 16 higher.
  const std::vector<int64_t> first = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  for (int64_t distance = 1 - length; distance < length; ++distance) {
    const auto above = std::upper_bound(first.begin(), first.end(), std::abs(distance));
    const int64_t expected = above - first.begin() - 1 + (distance > 0 ? 16 : 0);
    INFO(distance);
    REQUIRE(buckets[distance + length - 1].item<int64_t>() == expected);
  }
  CHECK(models::t5_distance_buckets(1, 32, 128).item<int64_t>() == 0);
}

TEST_CASE("Every distance meets its own bias", "[encoders]") {
  T5Config config = kTinyT5;
  config.heads = 3;
  const TinyT5 tiny(config);
  const int64_t length = 21;
  const models::T5Attention attention(config, /*has_bias=*/true, at::TensorOptions());
  const at::NoGradGuard no_grad;
  const at::Tensor weight = attention.named_parameters()["relative_attention_bias.weight"];
  weight.copy_(torch::arange(weight.numel()).view(weight.sizes()));
  const at::Tensor buckets = models::t5_distance_buckets(length, 32, 128);
  const at::Tensor bias = attention.position_bias(buckets);
  REQUIRE(bias.sizes() == at::IntArrayRef({1, 3, length, length}));
  for (int64_t head = 0; head < 3; ++head)
    for (int64_t query = 0; query < length; ++query)
      for (int64_t key = 0; key < length; ++key)
        REQUIRE(bias[0][head][query][key].item<float>() ==
                weight[buckets[key - query + length - 1].item<int64_t>()][head].item<float>());
}

TEST_CASE("T5 meets changed lengths and changed weights", "[encoders]") {
  TinyT5 tiny;
  const at::Tensor ids = t5_ids();
  const at::Tensor first = tiny.network.forward(ids);
  const at::Tensor shorter = tiny.network.forward(ids.narrow(1, 0, 3));
  CHECK(shorter.size(1) == 3);
  CHECK(torch::equal(tiny.network.forward(ids), first));
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : tiny.network.parameters()) parameter.mul_(1.5);
  CHECK_FALSE(torch::equal(tiny.network.forward(ids), first));
  CHECK_THROWS_WITH(tiny.network.forward(ids[0]), Catch::Matchers::Contains("[t5] ids must be"));
}

TEST_CASE("T5's units hold every parameter once", "[encoders]") {
  const T5Encoder network(kTinyT5, at::TensorOptions(at::kMeta));
  const std::vector<ModelUnit> units = network.units();
  REQUIRE(units.size() == 4);
  CHECK(units.front().name == "embed");
  CHECK(units[2].name == "block.1");
  CHECK(units.back().name == "head");
  std::size_t parameters = 0;
  for (const ModelUnit& unit : units) parameters += unit.parameters.size();
  CHECK(parameters == network.parameters().size());
  for (const at::Tensor& parameter : network.parameters()) CHECK_FALSE(parameter.requires_grad());
}

/// What each of `ranks` ranks says of the ids with the encoder's slices from a file.
std::vector<at::Tensor> encode_on_mesh(const std::string& weights, int64_t ranks,
                                       const std::string& dtype) {
  at::set_num_threads(1);  // ranks are threads already
  std::vector<at::Tensor> outputs(static_cast<std::size_t>(ranks));
  run_mesh({.dp_shard = ranks}, [&](const parallel::DeviceMesh& mesh,
                                    const parallel::MeshGroups& groups) {
    T5Encoder network(kTinyT5, at::TensorOptions(at::kMeta));
    JobConfig config;
    config.training.mixed_precision_param = dtype;
    parallel::ParallelEngine engine(network.units(), groups,
                                    parallel::engine_options(config, mesh, at::kCPU).value());
    std::vector<TensorSpec> model;
    for (const auto& parameter : network.named_parameters())
      model.push_back({parameter.key(), TensorType::kF32, parameter.value().sizes().vec()});
    const Status loaded = load_published_weights(
        weights, *network.weight_formats(),
        checkpoint::weight_items("model", engine.parameters().units()), model, /*verify=*/false);
    TITAN_CHECK(loaded.ok(), message_of(loaded));
    engine.parameters().weights_changed();
    network.set_hooks(&engine);
    network.forward(t5_ids());
    outputs[static_cast<std::size_t>(mesh.rank())] = network.forward(t5_ids());
  });
  return outputs;
}

TEST_CASE("T5 shared by ranks gives the bits of one rank", "[encoders]") {
  const TinyT5 tiny;
  at::set_num_threads(1);
  const at::Tensor expected = tiny.network.forward(t5_ids());
  for (const int64_t ranks : {1, 2, 3})
    for (const at::Tensor& out : encode_on_mesh(tiny.weights, ranks, "float32"))
      CHECK(torch::equal(out, expected));
  const std::vector<at::Tensor> alone = encode_on_mesh(tiny.weights, 1, "bfloat16");
  REQUIRE(alone[0].scalar_type() == at::kBFloat16);
  CHECK_FALSE(torch::equal(alone[0].to(at::kFloat), expected));
  for (const at::Tensor& out : encode_on_mesh(tiny.weights, 2, "bfloat16"))
    CHECK(torch::equal(out, alone[0]));
}

TEST_CASE("Weights of another T5 are refused by name", "[encoders]") {
  const TinyT5 tiny;
  T5Config config = kTinyT5;
  config.layers = 3;
  const Status deeper = load_network(T5Encoder(config, at::TensorOptions()), tiny.weights);
  CHECK_THAT(message_of(deeper), Catch::Matchers::Contains("2 layers, width 16") &&
                                     Catch::Matchers::Contains("3 layers, width 16"));
  config = kTinyT5;
  config.d_ff = 23;
  const Status wider = load_network(T5Encoder(config, at::TensorOptions()), tiny.weights);
  CHECK_THAT(message_of(wider), Catch::Matchers::Contains("feed-forward 24") &&
                                    Catch::Matchers::Contains("feed-forward 23"));
}

}  // namespace
}  // namespace titan
