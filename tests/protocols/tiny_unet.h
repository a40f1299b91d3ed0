// tiny_unet.h: a U-shaped model that uses all the seam offers: 5-D latents, shapes that change from
// block to block, a skip stack in named extra tensors, a condition passed on unchanged, an open
// residual; on wish, dropout. Include tests/support/catch.h first.
#pragma once

#include <map>
#include <sstream>

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "titan/base/check.h"
#include "titan/protocols/block_runner.h"

namespace titan::testing {

inline void close_residual(BlockState& state) {
  if (!state.open.branch.defined()) return;
  state.x = state.x + state.open.gate * state.open.branch;
  state.open = {};
}

/// Halves time, height and width; leaves its input on the skip stack and its residual open.
struct Down : Block {
  Down(int64_t channels, std::string skip_name, double drop)
      : skip(std::move(skip_name)), dropped(drop) {
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
    if (dropped > 0) state.open.branch = at::dropout(state.open.branch, dropped, /*train=*/true);
    state.open.gate = gate.view({1, -1, 1, 1, 1}).clone();  // never a view of a parameter
    return state;
  }
  std::string skip;
  double dropped;  ///< share of the branch
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

class TinyUNet : public Model {
 public:
  explicit TinyUNet(double dropped = 0) {
    stem_ = register_module("stem", torch::nn::Conv3d(torch::nn::Conv3dOptions(2, 4, 1)));
    time_ = register_module("time", torch::nn::Linear(1, 5));
    out_ = register_module("out", torch::nn::Conv3d(torch::nn::Conv3dOptions(4, 2, 1)));
    for (torch::nn::Module* module : {static_cast<torch::nn::Module*>(stem_.get()),
                                      static_cast<torch::nn::Module*>(time_.get()),
                                      static_cast<torch::nn::Module*>(out_.get())})
      module->to(torch::kDouble);
    blocks_ = {std::make_shared<Down>(4, "skip.0", dropped),
               std::make_shared<Down>(8, "skip.1", dropped), std::make_shared<Up>(8, "skip.1"),
               std::make_shared<Up>(4, "skip.0")};
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      register_module("layer" + std::to_string(i), blocks_[i]);
  }
  BlockState embed(const at::Tensor& x_t, const at::Tensor& t, const Conditioning&) override {
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
  void initialize_parameter(std::uint64_t, const std::string&, const init::Slice&) override {}

 private:
  torch::nn::Conv3d stem_{nullptr}, out_{nullptr};
  torch::nn::Linear time_{nullptr};
  std::vector<std::shared_ptr<Block>> blocks_;
};

/// Records the calls and the gradients.
struct Recorder : RunnerHooks {
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
  explicit Case(double dropped = 0) : model(std::make_shared<TinyUNet>(dropped)) {}
  std::shared_ptr<TinyUNet> model;
  at::Tensor x = torch::randn({3, 2, 4, 8, 4}, torch::kDouble);
  at::Tensor t = torch::rand({3}, torch::kDouble);
  at::Tensor target = torch::randn({3, 2, 4, 8, 4}, torch::kDouble);
  LossFunction loss = [this](const at::Tensor& prediction) {
    return (prediction - target).square().mean();
  };
};

}  // namespace titan::testing
