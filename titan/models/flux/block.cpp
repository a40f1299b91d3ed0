#include "titan/models/flux/block.h"

#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

namespace titan::models {
namespace {

constexpr const char* kTxtBranch = "txt.branch";
constexpr const char* kTxtGate = "txt.gate";

ops::StreamAttention attention_options(const FluxConfig& config, const BlockState& state) {
  return {.heads = config.num_heads, .eps = config.qk_norm_eps, .rope = state.rope};
}

/// Closes both streams and joins them in x.
void join_streams(BlockState& state) {
  const at::Tensor txt = closed(state.txt, take_open_txt(state));
  state.x = at::cat({txt, closed(state.x, state.open)}, 1);
  state.txt = at::Tensor();
  state.open = {};
}

}  // namespace

Residual take_open_txt(BlockState& state) {
  Residual open{state.extra.get(kTxtBranch), state.extra.get(kTxtGate)};
  state.extra.erase(kTxtBranch);
  state.extra.erase(kTxtGate);
  return open;
}

void leave_open_txt(BlockState& state, Residual open) {
  state.extra.set(kTxtBranch, std::move(open.branch));
  state.extra.set(kTxtGate, std::move(open.gate));
}

DoubleBlock::DoubleBlock(const FluxConfig& config, const at::TensorOptions& options)
    : config_(config),
      img_(register_stream("img", options)),
      txt_(register_stream("txt", options)) {}

DoubleBlock::Stream DoubleBlock::register_stream(const std::string& name,
                                                 const at::TensorOptions& options) {
  const int64_t h = config_.hidden_size;
  return {
      register_module(name + "_mod", std::make_shared<FluxModulation>(h, 2, options)),
      register_module(name + "_attn", std::make_shared<StreamProjections>(config_, options)),
      register_module(name + "_mlp", std::make_shared<GeluMlp>(h, config_.mlp_hidden(), options))};
}

BlockState DoubleBlock::forward(BlockState state) {
  const ops::Norm norm = layer_norm(config_.norm_eps);
  Residual txt_open = take_open_txt(state);
  const auto img_modulation = img_.modulation->forward(state.cond);
  const auto txt_modulation = txt_.modulation->forward(state.cond);
  const LinearInput img =
      normed_for(img_.attention->readers(), state.x, state.open, norm, img_modulation[0].norm());
  const LinearInput txt =
      normed_for(txt_.attention->readers(), state.txt, txt_open, norm, txt_modulation[0].norm());
  const ops::StreamOutputs attended = ops::joint_attention(
      txt_.attention->qkv(txt), img_.attention->qkv(img), attention_options(config_, state));
  finish(img_, img_modulation, attended.img, state.x, state.open);
  finish(txt_, txt_modulation, attended.txt, state.txt, txt_open);
  leave_open_txt(state, std::move(txt_open));
  return state;
}

void DoubleBlock::finish(const Stream& stream, const std::vector<BranchModulation>& modulation,
                         const at::Tensor& attended, at::Tensor& x, Residual& open) const {
  open = {stream.attention->output(attended), modulation[0].gate};
  const LinearInput again = normed_for(stream.mlp->readers(), x, open, layer_norm(config_.norm_eps),
                                       modulation[1].norm());
  open = {stream.mlp->forward(again), modulation[1].gate};
}

SingleBlock::SingleBlock(const FluxConfig& config, const at::TensorOptions& options)
    : config_(config) {
  const int64_t h = config.hidden_size, mlp = config.mlp_hidden();
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, std::make_shared<Linear>(in, out, Linear::Bias::kYes, options));
  };
  linear1_ = linear("linear1", h, 3 * h + mlp);
  linear2_ = linear("linear2", h + mlp, h);
  norm_ = register_module("norm", std::make_shared<QkNorm>(config.head_dim(), options));
  modulation_ = register_module("modulation", std::make_shared<FluxModulation>(h, 1, options));
}

BlockState SingleBlock::forward(BlockState state) {
  if (state.txt.defined()) join_streams(state);
  const BranchModulation modulation = modulation_->forward(state.cond)[0];
  const LinearInput in = normed_for({linear1_.get()}, state.x, state.open,
                                    layer_norm(config_.norm_eps), modulation.norm());
  const LinearInput inner =
      parallel_attention_for(*linear2_, linear1_->forward(in), norm_->query_scale, norm_->key_scale,
                             attention_options(config_, state));
  state.open = {linear2_->forward(inner), modulation.gate};
  return state;
}

}  // namespace titan::models
