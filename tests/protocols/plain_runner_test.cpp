// The runner against one whole-graph backward, on a U-shaped model that uses all the seam offers:
// 5-D latents, shapes that change from block to block, a skip stack in named extra tensors, a
// condition passed on unchanged, an open residual.
#include "tests/support/catch.h"
#include "titan/base/check.h"
#include "titan/protocols/block_runner.h"

namespace {

using titan::Block;
using titan::BlockState;

void close_residual(BlockState& state) {
  if (!state.open.branch.defined()) return;
  state.x = state.x + state.open.gate * state.open.branch;
  state.open = {};
}

/// Halves time, height and width; leaves its input on the skip stack and its residual open.
struct Down : Block {
  Down(int64_t channels, std::string skip_name) : skip(std::move(skip_name)) {
    conv = register_module(
        "conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(channels, 2 * channels, 2).stride(2)));
    gate = register_parameter("gate", torch::randn({2 * channels}, torch::kDouble));
    conv->to(torch::kDouble);
  }
  BlockState forward(BlockState state) override {
    close_residual(state);
    state.extra.set(skip, state.x);
    const at::Tensor y = conv(state.x);
    state.x = y;
    state.open.branch = at::tanh(y + state.cond.mean());
    state.open.gate = gate.view({1, -1, 1, 1, 1});
    return state;
  }
  std::string skip;
  torch::nn::Conv3d conv{nullptr};
  at::Tensor gate;
};

/// Closes the open residual, doubles the sizes and takes the skip off the stack.
struct Up : Block {
  Up(int64_t channels, std::string skip_name) : skip(std::move(skip_name)) {
    conv = register_module(
        "conv", torch::nn::ConvTranspose3d(
                    torch::nn::ConvTranspose3dOptions(2 * channels, channels, 2).stride(2)));
    conv->to(torch::kDouble);
    unused = register_parameter("unused", torch::randn({3}, torch::kDouble));
  }
  BlockState forward(BlockState state) override {
    close_residual(state);
    state.x = conv(state.x) + state.extra.get(skip) * state.cond.sum();
    state.extra.erase(skip);
    return state;
  }
  std::string skip;
  torch::nn::ConvTranspose3d conv{nullptr};
  at::Tensor unused;
};

class TinyUNet : public titan::Model {
 public:
  TinyUNet() {
    stem_ = register_module("stem", torch::nn::Conv3d(torch::nn::Conv3dOptions(2, 4, 1)));
    time_ = register_module("time", torch::nn::Linear(1, 5));
    out_ = register_module("out", torch::nn::Conv3d(torch::nn::Conv3dOptions(4, 2, 1)));
    for (torch::nn::Module* module : {static_cast<torch::nn::Module*>(stem_.get()),
                                      static_cast<torch::nn::Module*>(time_.get()),
                                      static_cast<torch::nn::Module*>(out_.get())})
      module->to(torch::kDouble);
    blocks_ = {std::make_shared<Down>(4, "skip.0"), std::make_shared<Down>(8, "skip.1"),
               std::make_shared<Up>(8, "skip.1"), std::make_shared<Up>(4, "skip.0")};
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      register_module("layer" + std::to_string(i), blocks_[i]);
  }
  BlockState embed(const at::Tensor& x_t, const at::Tensor& t,
                   const titan::Conditioning&) override {
    BlockState state;
    state.x = stem_(x_t);
    state.cond = time_(t.unsqueeze(1));
    return state;
  }
  std::vector<std::shared_ptr<Block>> blocks() const override { return blocks_; }
  at::Tensor head(const BlockState& state, at::IntArrayRef latent_shape) override {
    TITAN_CHECK(state.extra.empty(), "the skip stack must be empty");
    TITAN_CHECK(state.x.size(-1) == latent_shape.back(), "the sizes must be the input's again");
    return out_(state.x) * state.cond.mean();
  }
  std::vector<std::string> head_parameters() const override { return {"out.weight", "out.bias"}; }
  void initialize_parameter(std::uint64_t, const std::string&, const titan::init::Slice&) override {
  }

 private:
  torch::nn::Conv3d stem_{nullptr}, out_{nullptr};
  torch::nn::Linear time_{nullptr};
  std::vector<std::shared_ptr<Block>> blocks_;
};

/// Records the calls and the gradients.
struct Recorder : titan::RunnerHooks {
  void before_forward(std::size_t unit) override { calls << "f" << unit << ' '; }
  void before_backward(std::size_t unit) override { calls << "b" << unit << ' '; }
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    calls << "g" << unit << ' ';
    by_unit[unit] = gradients;
  }
  std::ostringstream calls;
  std::map<std::size_t, std::vector<at::Tensor>> by_unit;
};

struct Case {
  std::shared_ptr<TinyUNet> model = std::make_shared<TinyUNet>();
  at::Tensor x = torch::randn({3, 2, 4, 8, 4}, torch::kDouble);
  at::Tensor t = torch::rand({3}, torch::kDouble);
  at::Tensor target = torch::randn({3, 2, 4, 8, 4}, torch::kDouble);
  titan::LossFunction loss = [this](const at::Tensor& prediction) {
    return (prediction - target).square().mean();
  };
};

}  // namespace

TEST_CASE("unit-by-unit backward equals one whole-graph backward", "[protocols]") {
  torch::manual_seed(3);
  const Case c;
  Recorder recorder;
  const auto runner = titan::make_plain_runner(c.model, &recorder);
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
  titan::make_plain_runner(c.model, &recorder)->forward_backward(c.x, c.t, {}, c.loss);
  REQUIRE(recorder.calls.str() == "f0 f1 f2 f3 f4 f5 b5 g5 b4 g4 b3 g3 b2 g2 b1 g1 b0 g0 ");
}

TEST_CASE("an unused and a frozen parameter get undefined gradients, the others are unchanged",
          "[protocols]") {
  torch::manual_seed(4);
  const Case c;
  Recorder all, frozen;
  titan::make_plain_runner(c.model, &all)->forward_backward(c.x, c.t, {}, c.loss);
  c.model->named_parameters()["layer1.gate"].set_requires_grad(false);
  titan::make_plain_runner(c.model, &frozen)->forward_backward(c.x, c.t, {}, c.loss);
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
  const auto runner = titan::make_plain_runner(c.model, nullptr);
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

TEST_CASE("a loss that is no scalar of the parameters is refused", "[protocols]") {
  const Case c;
  const auto runner = titan::make_plain_runner(c.model, nullptr);
  REQUIRE_THROWS_AS(runner->forward_backward(c.x, c.t, {}, [](const at::Tensor& p) { return p; }),
                    titan::Error);
  REQUIRE_THROWS_AS(
      runner->forward_backward(c.x, c.t, {}, [](const at::Tensor& p) { return p.detach().mean(); }),
      titan::Error);
}
