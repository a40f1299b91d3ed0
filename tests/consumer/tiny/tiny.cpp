// A model of one's own in one file: it registers itself in main and gets the whole trainer.
#include <memory>
#include <string>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

#include "titan/protocols/init.h"
#include "titan/protocols/model_spec.h"
#include "titan/train/train_main.h"

namespace {
/// x + W silu(x + cond)
class TinyBlock : public titan::Block {
 public:
  TinyBlock(int64_t width, const at::TensorOptions& options)
      : weight_(register_parameter("weight", at::empty({width, width}, options))) {}
  titan::BlockState forward(titan::BlockState state) override {
    state.x = state.x + at::linear(at::silu(state.x + state.cond), weight_);
    return state;
  }

 private:
  at::Tensor weight_;
};

/// Every column of every channel is a token; time moves all of them.
class Tiny : public titan::Model {
 public:
  Tiny(int64_t width, int depth, const at::TensorOptions& options)
      : time_(register_parameter("time", at::empty({width, 1}, options))),
        out_(register_parameter("out", at::empty({width, width}, options))) {
    for (int i = 0; i < depth; ++i)
      blocks_.push_back(register_module("block" + std::to_string(i),
                                        std::make_shared<TinyBlock>(width, options)));
  }
  titan::BlockState embed(const at::Tensor& x_t, const at::Tensor& t,
                          const titan::Conditioning&) override {
    titan::BlockState state;
    state.x = x_t.flatten(1, 2);                                  // [B, C * H, W]
    state.cond = at::linear(t.unsqueeze(1), time_).unsqueeze(1);  // [B, 1, W]
    return state;
  }
  std::vector<std::shared_ptr<titan::Block>> blocks() const override { return blocks_; }
  at::Tensor head(const titan::BlockState& state, at::IntArrayRef latent_shape) override {
    return at::linear(state.x, out_).view(latent_shape);
  }
  std::vector<std::string> head_parameters() const override { return {"out"}; }
  void initialize_parameter(std::uint64_t seed, const std::string& name,
                            const titan::init::Slice& parameter) override {
    titan::init::normal_(parameter, {seed, name}, 0.02);
  }

 private:
  at::Tensor time_, out_;
  std::vector<std::shared_ptr<titan::Block>> blocks_;
};
}  // namespace

int main(int argc, char** argv) {
  titan::ModelSpec spec;
  spec.name = "tiny";
  spec.build = [](const titan::JobConfig&, const titan::DataShape& shape,
                  at::Device device) -> titan::StatusOr<std::shared_ptr<titan::Model>> {
    return std::make_shared<Tiny>(shape.image.back(), /*depth=*/2,
                                  at::TensorOptions().device(device));
  };
  if (!titan::register_model(spec).ok()) return 1;
  return titan::train_main(argc, argv);
}
