#include "tests/support/catch.h"

#include "titan/models/dit/model.h"

#include <algorithm>
#include <cmath>

#include "tests/support/runner.h"
#include "titan/models/dit/init.h"

namespace titan {
namespace {

models::DitConfig tiny(const std::string& mode = "adaLN") {
  models::DitConfig config;
  config.dim = 32;
  config.n_layers = 2;
  config.n_heads = 2;
  config.multiple_of = 16;
  config.in_channels = 3;
  config.num_classes = 5;
  config.condition_mode = mode;
  return config;
}

Conditioning labels(int64_t batch) {
  Conditioning condition;
  condition.set("label", at::arange(batch, at::kLong).remainder(6));
  return condition;
}

TEST_CASE("every parameter of the DiT has an initialiser", "[dit]") {
  for (const std::string norm : {"rmsnorm", "layernorm", "np_layernorm", "np_layernorm_bias"}) {
    for (const std::string mode : {"adaLN", "context"}) {
      models::DitConfig config = tiny(mode);
      config.norm_type = norm;
      models::Dit model(config);
      {
        const torch::NoGradGuard no_grad;
        for (const at::Tensor& parameter : model.parameters()) parameter.fill_(NAN);
      }
      model.initialize(7);
      for (const auto& entry : model.named_parameters()) {
        INFO(entry.key());
        REQUIRE(entry.value().isfinite().all().item<bool>());
      }
    }
  }
  REQUIRE_THROWS_WITH(
      models::initialize_parameter(tiny(), 1, "layers.0.new.weight", at::empty({1})),
      Catch::Contains("no initialiser") && Catch::Contains("layers.0.new.weight"));
}

TEST_CASE("absolute positions add the sinusoids of row and column to each patch", "[dit]") {
  models::DitConfig config = tiny();
  models::Dit relative(config);
  config.absolute_positions = true;
  models::Dit absolute(config);
  relative.initialize(3);
  absolute.initialize(3);
  const torch::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 3, 4, 6}), t = at::rand({2});  // 2 rows of 3 patches
  const at::Tensor added = absolute.embed(x, t, labels(2)).x - relative.embed(x, t, labels(2)).x;
  const int64_t quarter = config.dim / 4;
  for (int64_t sample = 0; sample < 2; ++sample)
    for (int64_t token = 0; token < 6; ++token)
      for (int64_t c = 0; c < config.dim; ++c) {
        const auto place = static_cast<double>(c < 2 * quarter ? token / 3 : token % 3);
        const double share = static_cast<double>(c % quarter) / static_cast<double>(quarter);
        const double angle = place * std::pow(10000.0, -share);
        const double expected = c / quarter % 2 == 0 ? std::cos(angle) : std::sin(angle);
        REQUIRE(added[sample][token][c].item<double>() == Approx(expected).margin(1e-6));
      }
}

TEST_CASE("the DiT's initial values follow the seed, and its output starts at zero", "[dit]") {
  models::Dit one(tiny()), two(tiny()), other(tiny());
  one.initialize(1);
  two.initialize(1);
  other.initialize(2);
  const auto a = one.named_parameters(), b = two.named_parameters(), c = other.named_parameters();
  for (const auto& entry : a) REQUIRE(at::equal(entry.value(), b[entry.key()]));
  REQUIRE_FALSE(at::equal(a["layers.0.attention.wq.weight"], c["layers.0.attention.wq.weight"]));
  REQUIRE(a["layers.1.adaLN_modulation.1.weight"].abs().max().item<double>() == 0.0);
  // std 0.02 / sqrt(2 (layer + 1)); 4 % = 3 standard errors of a sample of 32 * 32
  const double stddev = a["layers.1.attention.wo.weight"].std().item<double>();
  REQUIRE(stddev == Approx(0.02 / 2.0).epsilon(0.08));
  const at::Tensor x = at::randn({2, 3, 8, 4});
  REQUIRE(testing::predict(one, x, at::rand({2}), labels(2)).abs().max().item<double>() == 0.0);
}

TEST_CASE("the DiT takes any size that the patch divides and refuses others by name", "[dit]") {
  for (const std::string mode : {"adaLN", "context"}) {
    models::Dit model(tiny(mode));
    model.initialize(3);
    for (const std::vector<int64_t>& size : {std::vector<int64_t>{8, 8}, {4, 12}, {12, 4}}) {
      const at::Tensor x = at::randn({2, 3, size[0], size[1]});
      REQUIRE(testing::predict(model, x, at::rand({2}), labels(2)).sizes() == x.sizes());
    }
    REQUIRE_THROWS_WITH(model.embed(at::randn({2, 3, 7, 8}), at::rand({2}), labels(2)),
                        Catch::Contains("divisible by the patch"));
    REQUIRE_THROWS_WITH(model.embed(at::randn({2, 4, 8, 8}), at::rand({2}), labels(2)),
                        Catch::Contains("channels=3"));
    REQUIRE_THROWS_WITH(model.embed(at::randn({2, 3, 8, 8}), at::rand({2}), {}),
                        Catch::Contains("one label per sample"));
  }
}

TEST_CASE("backward unit by unit through the runner equals backward through the whole DiT",
          "[dit]") {
  for (const std::string mode : {"adaLN", "context"}) {
    const auto model = std::make_shared<models::Dit>(tiny(mode));
    at::manual_seed(4);
    {
      const torch::NoGradGuard no_grad;  // nothing zero, so that every path carries a gradient
      for (const at::Tensor& parameter : model->parameters()) parameter.normal_(0.0, 0.3);
    }
    const at::Tensor x = at::randn({2, 3, 8, 4}), t = at::rand({2});
    testing::require_runner_equals_whole(model, x, t, labels(2));
  }
}

TEST_CASE("the DiT can be built on the meta device", "[dit]") {
  const models::Dit model(*models::dit_flavor("7B"), at::TensorOptions().device(at::kMeta));
  REQUIRE(model.parameters().front().is_meta());
  const std::vector<std::string> head = model.head_parameters();
  REQUIRE(head == std::vector<std::string>{"norm.weight", "output.weight", "output.bias"});
}

}  // namespace
}  // namespace titan
