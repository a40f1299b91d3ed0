// The runner against one whole-graph backward of a U-shaped model.
#include "tests/support/catch.h"
#include "titan/base/check.h"
#include "titan/protocols/block_runner.h"

#include "tests/protocols/tiny_unet.h"

using titan::BlockState;
using titan::testing::Case;
using titan::testing::Recorder;
using titan::testing::TinyUNet;

TEST_CASE("unit-by-unit backward equals one whole-graph backward", "[protocols]") {
  torch::manual_seed(3);
  const Case c;
  Recorder recorder;
  const auto runner = titan::make_runner(c.model, &recorder);
  const at::Tensor loss = runner->forward_backward(c.x, c.t, {}, c.loss);

  BlockState state = c.model->embed(c.x, c.t, {});
  for (const auto& block : c.model->blocks()) state = block->forward(state);
  const at::Tensor whole = c.loss(c.model->head(state, c.x.sizes()));
  whole.backward();

  REQUIRE(std::abs(loss.item<double>() - whole.item<double>()) < 1e-14);
  const auto units = titan::split_into_units(*c.model);
  REQUIRE(recorder.by_unit.size() == units.size());
  for (std::size_t u = 0; u < units.size(); ++u) {
    REQUIRE(recorder.by_unit[u].size() == units[u].parameters.size());
    for (std::size_t p = 0; p < units[u].parameters.size(); ++p) {
      INFO(units[u].parameter_names[p]);
      const at::Tensor& expected = units[u].parameters[p].grad();
      const at::Tensor& found = recorder.by_unit[u][p];
      REQUIRE(found.defined() == expected.defined());
      if (!expected.defined()) continue;
      REQUIRE(expected.abs().max().item<double>() > 0);
      // 1e-13: float64, a few hundred terms, another order of summation.
      REQUIRE((found - expected).abs().max().item<double>() < 1e-13);
    }
  }
}

TEST_CASE("hooks are called unit by unit, backward from the last to the first, once each",
          "[protocols]") {
  const Case c;
  Recorder recorder;
  titan::make_runner(c.model, &recorder)->forward_backward(c.x, c.t, {}, c.loss);
  REQUIRE(recorder.calls.str() == "f0 f1 f2 f3 f4 f5 b5 g5 b4 g4 b3 g3 b2 g2 b1 g1 b0 g0 ");
}

TEST_CASE("an unused and a frozen parameter get undefined gradients, the others are unchanged",
          "[protocols]") {
  torch::manual_seed(4);
  const Case c;
  Recorder all, frozen;
  titan::make_runner(c.model, &all)->forward_backward(c.x, c.t, {}, c.loss);
  c.model->named_parameters()["layer1.gate"].set_requires_grad(false);
  titan::make_runner(c.model, &frozen)->forward_backward(c.x, c.t, {}, c.loss);
  const auto units = titan::split_into_units(*c.model);
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (std::size_t p = 0; p < units[u].parameters.size(); ++p) {
      const std::string& name = units[u].parameter_names[p];
      INFO(name);
      if (name == "layer1.gate" || name.find("unused") != std::string::npos) {
        REQUIRE_FALSE(frozen.by_unit[u][p].defined());
      } else {
        REQUIRE(at::equal(frozen.by_unit[u][p], all.by_unit[u][p]));
      }
    }
  }
}

TEST_CASE("forward gives the prediction of the training forward and records no graph",
          "[protocols]") {
  const Case c;
  const auto runner = titan::make_runner(c.model, nullptr);
  at::Tensor seen;
  runner->forward_backward(c.x, c.t, {}, [&](const at::Tensor& prediction) {
    seen = prediction.detach();
    return c.loss(prediction);
  });
  const at::Tensor prediction = runner->forward(c.x, c.t, {});
  REQUIRE_FALSE(prediction.requires_grad());
  REQUIRE(at::equal(prediction, seen));
}

TEST_CASE("units hold each parameter exactly once", "[protocols]") {
  const Case c;
  const auto units = titan::split_into_units(*c.model);
  REQUIRE(units.size() == 6);
  REQUIRE(units.front().parameter_names ==
          std::vector<std::string>{"stem.weight", "stem.bias", "time.weight", "time.bias"});
  REQUIRE(units.back().parameter_names == std::vector<std::string>{"out.weight", "out.bias"});
  REQUIRE(units[1].parameter_names ==
          std::vector<std::string>{"layer0.gate", "layer0.conv.weight", "layer0.conv.bias"});
  std::size_t count = 0;
  for (const auto& unit : units) count += unit.parameters.size();
  REQUIRE(count == c.model->parameters().size());
}

TEST_CASE("a head parameter that does not exist is named", "[protocols]") {
  struct Wrong : TinyUNet {
    std::vector<std::string> head_parameters() const override { return {"layer0.gate"}; }
  };
  try {
    titan::split_into_units(Wrong());
    FAIL("no exception");
  } catch (const titan::Error& error) {
    REQUIRE(std::string(error.what()).find("layer0.gate") != std::string::npos);
  }
}

TEST_CASE("a block that hands on a view of its parameters is refused by name", "[protocols]") {
  struct Lender : titan::Block {
    Lender() { lent = register_parameter("lent", torch::ones({3})); }
    BlockState forward(BlockState state) override {
      state.x = state.x * lent;
      state.cond = lent.view({1, 3});
      return state;
    }
    at::Tensor lent;
  };
  struct Lending : titan::Model {
    Lending() { block = register_module("block", std::make_shared<Lender>()); }
    BlockState embed(const at::Tensor& x, const at::Tensor&, const titan::Conditioning&) override {
      BlockState state;
      state.x = x;
      return state;
    }
    std::vector<std::shared_ptr<titan::Block>> blocks() const override { return {block}; }
    at::Tensor head(const BlockState& state, at::IntArrayRef) override { return state.x; }
    std::vector<std::string> head_parameters() const override { return {}; }
    void initialize_parameter(std::uint64_t, const std::string&,
                              const titan::init::Slice&) override {}
    std::shared_ptr<Lender> block;
  };
  const auto runner = titan::make_runner(std::make_shared<Lending>(), nullptr);
  const at::Tensor x = torch::ones({2, 3});
  const auto sum = [](const at::Tensor& prediction) { return prediction.sum(); };
  using Catch::Matchers::Contains;
  REQUIRE_THROWS_WITH(runner->forward_backward(x, x, {}, sum), Contains("(block.lent)"));
  REQUIRE_THROWS_WITH(runner->forward(x, x, {}), Contains("hand on a copy"));
}

TEST_CASE("a loss that is no scalar of the parameters is refused", "[protocols]") {
  const Case c;
  const auto runner = titan::make_runner(c.model, nullptr);
  REQUIRE_THROWS_AS(runner->forward_backward(c.x, c.t, {}, [](const at::Tensor& p) { return p; }),
                    titan::Error);
  REQUIRE_THROWS_AS(
      runner->forward_backward(c.x, c.t, {}, [](const at::Tensor& p) { return p.detach().mean(); }),
      titan::Error);
}
