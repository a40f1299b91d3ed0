#include "tests/support/catch.h"

#include "titan/models/flux/model.h"

#include "tests/support/runner.h"
#include "titan/metrics/flops.h"
#include "titan/models/flux/flops.h"
#include "titan/models/flux/init.h"

namespace titan {
namespace {

models::FluxConfig tiny() {
  models::FluxConfig config;
  config.in_channels = 16;
  config.vec_in_dim = 12;
  config.context_in_dim = 24;
  config.hidden_size = 64;
  config.num_heads = 2;
  config.depth = 2;
  config.depth_single_blocks = 2;
  config.axes_dim = {8, 12, 12};
  return config;
}

Conditioning condition_of(const models::FluxConfig& config, int64_t batch, int64_t text_tokens) {
  Conditioning condition;
  condition.set("txt", at::randn({batch, text_tokens, config.context_in_dim}));
  condition.set("y", at::randn({batch, config.vec_in_dim}));
  if (config.guidance_embed) condition.set("guidance", at::rand({batch}) * 4);
  return condition;
}

/// No parameter zero, so that every path carries signal.
void randomize(models::Flux& model) {
  const torch::NoGradGuard no_grad;
  for (const at::Tensor& parameter : model.parameters()) parameter.normal_(0.0, 0.2);
}

TEST_CASE("every parameter of Flux has an initialiser, and the output starts at zero", "[flux]") {
  models::FluxConfig config = tiny();
  config.guidance_embed = true;
  models::Flux model(config);
  {
    const torch::NoGradGuard no_grad;
    for (const at::Tensor& parameter : model.parameters()) parameter.fill_(NAN);
  }
  model.initialize(7);
  for (const auto& entry : model.named_parameters()) {
    INFO(entry.key());
    REQUIRE(entry.value().isfinite().all().item<bool>());
  }
  REQUIRE(models::flux_init("guidance_in.out_layer.weight") == models::FluxInit::kNormal);
  REQUIRE_THROWS_WITH(models::flux_init("double_blocks.0.new.weight"),
                      Catch::Contains("no initialiser") && Catch::Contains("double_blocks.0.new"));
  const at::Tensor x = at::randn({2, 4, 6, 8});
  const at::Tensor out = testing::predict(model, x, at::rand({2}), condition_of(config, 2, 3));
  REQUIRE(out.sizes() == x.sizes());
  REQUIRE(out.abs().max().item<double>() == 0.0);
}

TEST_CASE("Flux's initial values follow the seed", "[flux]") {
  models::Flux one(tiny()), two(tiny()), other(tiny());
  one.initialize(1);
  two.initialize(1);
  other.initialize(2);
  const auto a = one.named_parameters(), b = two.named_parameters(), c = other.named_parameters();
  for (const auto& entry : a) REQUIRE(at::equal(entry.value(), b[entry.key()]));
  REQUIRE_FALSE(at::equal(a["img_in.weight"], c["img_in.weight"]));
  REQUIRE_FALSE(
      at::equal(a["single_blocks.0.linear1.weight"], a["single_blocks.1.linear1.weight"]));
}

TEST_CASE("Flux's inputs are refused by name where they do not fit", "[flux]") {
  models::FluxConfig config = tiny();
  config.guidance_embed = true;
  models::Flux model(config);
  model.initialize(1);
  const at::Tensor x = at::randn({2, 4, 4, 4}), t = at::rand({2});
  const Conditioning good = condition_of(config, 2, 3);
  const auto with = [&](const char* name, const at::Tensor& value) {
    Conditioning changed = good;
    changed.set(name, value);
    return changed;
  };
  REQUIRE_NOTHROW(model.embed(x, t, good));
  REQUIRE_NOTHROW(model.embed(x, at::rand({1}), good));
  REQUIRE_THROWS_WITH(model.embed(at::randn({2, 5, 4, 4}), t, good),
                      Catch::Contains("in_channels=16"));
  REQUIRE_THROWS_WITH(model.embed(at::randn({2, 4, 3, 4}), t, good), Catch::Contains("even H"));
  REQUIRE_THROWS_WITH(model.embed(x, at::rand({3}), good), Catch::Contains("samples=2"));
  REQUIRE_THROWS_WITH(model.embed(x, t, with("txt", at::randn({2, 3, 25}))),
                      Catch::Contains("context_in_dim=24"));
  REQUIRE_THROWS_WITH(model.embed(x, t, with("txt", at::randn({3, 24}))),
                      Catch::Contains("\"txt\" must be"));
  REQUIRE_THROWS_WITH(model.embed(x, t, with("y", at::randn({2, 11}))),
                      Catch::Contains("vec_in_dim=12"));
  REQUIRE_THROWS_WITH(model.embed(x, t, with("guidance", {})), Catch::Contains("missing"));
  REQUIRE_THROWS_WITH(model.embed(x, t, {}), Catch::Contains("txt=missing"));
}

TEST_CASE("Flux depends on time, text, pooled text and guidance, sample by sample", "[flux]") {
  models::FluxConfig config = tiny();
  config.guidance_embed = true;
  models::Flux model(config);
  at::manual_seed(11);
  randomize(model);
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 4, 4, 6}), t = at::rand({2});
  const Conditioning condition = condition_of(config, 2, 3);
  const at::Tensor out = testing::predict(model, x, t, condition);
  for (const char* name : {"txt", "y", "guidance"}) {
    Conditioning changed = condition;
    at::Tensor value = condition.get(name).clone();
    value[1] += 0.5;
    changed.set(name, value);
    const at::Tensor other = testing::predict(model, x, t, changed);
    INFO(name);
    REQUIRE(at::allclose(other[0], out[0], 1e-5, 1e-5));
    REQUIRE((other[1] - out[1]).abs().max().item<double>() > 1e-3);
  }
}

TEST_CASE("Flux runs with either kind of block alone", "[flux]") {
  for (const auto& [doubles, singles] : {std::pair<int64_t, int64_t>{0, 1}, {1, 0}, {0, 0}}) {
    models::FluxConfig config = tiny();
    config.depth = doubles;
    config.depth_single_blocks = singles;
    models::Flux model(config);
    at::manual_seed(5);
    randomize(model);
    const at::Tensor x = at::randn({1, 4, 4, 4});
    const at::Tensor out = testing::predict(model, x, at::rand({1}), condition_of(config, 1, 2));
    REQUIRE(out.sizes() == x.sizes());
    REQUIRE(out.isfinite().all().item<bool>());
  }
}

TEST_CASE("backward unit by unit through the runner equals backward through the whole Flux",
          "[flux]") {
  const auto model = std::make_shared<models::Flux>(tiny());
  at::manual_seed(4);
  randomize(*model);
  const at::Tensor x = at::randn({2, 4, 8, 4}), t = at::rand({2});
  const Conditioning condition = condition_of(tiny(), 2, 5);
  testing::require_runner_equals_whole(model, x, t, condition);
}

TEST_CASE("Flux's units are embed, the double blocks, the single blocks, head", "[flux]") {
  models::FluxConfig config = tiny();
  const models::Flux model(config, at::TensorOptions().device(at::kMeta));
  const std::vector<ModelUnit> units = split_into_units(model);
  REQUIRE(units.size() == 6);
  REQUIRE(units[0].parameter_names.front() == "img_in.weight");
  REQUIRE(units[1].parameter_names.front().rfind("double_blocks.0.", 0) == 0);
  REQUIRE(units[3].parameter_names.front().rfind("single_blocks.0.", 0) == 0);
  for (const std::string& name : units.back().parameter_names)
    REQUIRE(name.rfind("final_layer.", 0) == 0);
  REQUIRE(units.back().parameters.size() == 4);
}

TEST_CASE("the fused operations of Flux count the FLOPs of the formula", "[flux]") {
  const models::FluxConfig config = tiny();
  models::Flux model(config);
  model.initialize(1);
  const at::Tensor x = at::randn({3, 4, 4, 6}), t = at::rand({3});
  const Conditioning condition = condition_of(config, 3, 5);
  const metrics::FlopCounter counter;
  const at::Tensor loss = testing::predict(model, x, t, condition).square().mean();
  REQUIRE(counter.counted().model == 3 * models::flux_flops(config, 6, 5).forward());
  loss.backward();
  REQUIRE(counter.counted().model == 3 * models::flux_train_flops_executed(config, 6, 5));
}

TEST_CASE("the full Flux can be built on the meta device", "[flux]") {
  const StatusOr<models::FluxConfig> config = models::flux_flavor("flux-dev");
  const models::Flux model(*config, at::TensorOptions().device(at::kMeta));
  models::ParameterCount count;
  for (const at::Tensor& parameter : model.parameters()) {
    REQUIRE(parameter.is_meta());
    count.numbers += parameter.numel();
    ++count.tensors;
  }
  REQUIRE(count.numbers == 11'901'408'320);
  REQUIRE(count.tensors == 780);
}

}  // namespace
}  // namespace titan
