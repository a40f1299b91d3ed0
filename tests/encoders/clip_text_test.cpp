#include "tests/support/catch.h"

#include "tests/encoders/encoder_testing.h"
#include "titan/models/encoders/clip_text.h"

namespace titan {
namespace {

using namespace titan::testing;
using models::ClipTextConfig;
using models::ClipTextEncoder;

/// Appendix A6 of the specification.
const ClipTextConfig kTiny{
    .vocab = 50, .width = 16, .layers = 2, .heads = 2, .mlp = 64, .positions = 8};

Spread clip_spread(const std::string& name) {
  if (name.find("embedding") != name.npos) return {2, 0};
  const bool scale = name.find("norm") != name.npos && name.ends_with("weight");
  return {0.5, scale ? 1.0 : 0.0};
}

struct TinyClip {
  TemporaryFolder folder;
  ClipTextEncoder network;
  explicit TinyClip(const ClipTextConfig& config = kTiny)
      : network(config, at::TensorOptions(at::kFloat)) {
    const Status loaded = load_network(network, write_filled(folder, network, clip_spread));
    INFO(message_of(loaded));
    REQUIRE(loaded.ok());
  }
};

at::Tensor tiny_ids() {
  return torch::tensor({{48, 5, 9, 49, 49, 49, 49, 49}, {48, 3, 2, 1, 0, 7, 6, 49}}, at::kLong);
}

TEST_CASE("A tiny CLIP gives the numbers of the specification", "[encoders]") {
  const TinyClip tiny;
  const at::Tensor pooled = tiny.network.forward(tiny_ids());
  REQUIRE(pooled.sizes() == at::IntArrayRef({2, 16}));
  REQUIRE_FALSE(pooled.requires_grad());
  CHECK(pooled.sum().item<double>() == Approx(2.745737).epsilon(1e-4));
  const at::Tensor begin = torch::tensor({-0.825185, -2.573062, -0.000976, 1.172060});
  const at::Tensor end = torch::tensor({-0.225086, 1.146888, -0.706594, -0.929249});
  CHECK(torch::allclose(pooled[0].narrow(0, 0, 4), begin, 1e-5, 1e-5));
  CHECK(torch::allclose(pooled[1].narrow(0, 12, 4), end, 1e-5, 1e-5));
  const at::Tensor last = tiny.network.last_hidden(tiny_ids());
  CHECK(last.abs().sum().item<double>() == Approx(244.254832).epsilon(1e-5));
}

TEST_CASE("The pooled place is the first of the largest id", "[encoders]") {
  const TinyClip tiny;
  const at::Tensor ids = torch::tensor({{48, 49, 3, 49, 4, 49, 1, 2},  // the end inside the text
                                        {48, 1, 2, 3, 4, 5, 6, 49},    // at the last place
                                        {1, 47, 2, 47, 3, 4, 5, 6},    // no end: still the largest
                                        {7, 7, 7, 7, 7, 7, 7, 7}},     // all equal
                                       at::kLong);
  const at::Tensor last = tiny.network.last_hidden(ids), pooled = tiny.network.forward(ids);
  const std::vector<int64_t> places = {1, 7, 1, 0};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    CHECK(torch::equal(pooled[row], last[row][places[i]]));
  }
}

TEST_CASE("A position of CLIP's text sees nothing behind it", "[encoders]") {
  const TinyClip tiny;
  at::Tensor ids = tiny_ids();
  const at::Tensor before = tiny.network.last_hidden(ids);
  ids.select(1, 5).fill_(11);
  const at::Tensor after = tiny.network.last_hidden(ids);
  CHECK(torch::allclose(before.narrow(1, 0, 5), after.narrow(1, 0, 5), 1e-6, 1e-6));
  CHECK_FALSE(torch::allclose(before.narrow(1, 5, 1), after.narrow(1, 5, 1), 1e-2, 1e-2));
}

TEST_CASE("CLIP takes texts as long as it has positions, and no longer", "[encoders]") {
  const TinyClip tiny;
  CHECK(tiny.network.forward(tiny_ids().narrow(1, 0, 1)).size(0) == 2);
  CHECK_THROWS_WITH(tiny.network.forward(torch::zeros({1, 9}, at::kLong)),
                    Catch::Matchers::Contains("[clip] ids must be [B, L] with L up to 8"));
  const std::vector<ModelUnit> units = tiny.network.units();
  REQUIRE(units.size() == 4);
  CHECK(units.front().parameters.size() == 2);
  CHECK(units.back().parameters.size() == 2);
}

TEST_CASE("The activation is the configuration's", "[encoders]") {
  ClipTextConfig config = kTiny;
  config.activation = ClipTextConfig::Activation::kGelu;
  const at::Tensor exact = TinyClip(config).network.forward(tiny_ids());
  const at::Tensor quick = TinyClip().network.forward(tiny_ids());
  CHECK_FALSE(torch::allclose(exact, quick, 1e-4, 1e-4));
  CHECK(torch::allclose(exact, quick, 0.1, 0.1));  // the two functions are 0.02 apart
}

}  // namespace
}  // namespace titan
