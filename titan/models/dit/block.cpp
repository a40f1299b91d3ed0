#include "titan/models/dit/block.h"

#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "titan/models/layers/layer_inputs.h"

namespace titan::models {

DitBlock::DitBlock(const DitConfig& config, const at::TensorOptions& options) {
  attention_ = register_module(
      "attention",
      std::make_shared<SelfAttention>(config.dim, config.n_heads, config.kv_heads(), options));
  feed_forward_ = register_module(
      "feed_forward", std::make_shared<FeedForward>(config.dim, config.ffn_hidden(), options));
  const auto norm = [&](const char* name) {
    return register_module(
        name, std::make_shared<NormLayer>(config.norm_type, config.dim, config.norm_eps, options));
  };
  attention_norm_ = norm("attention_norm");
  ffn_norm_ = norm("ffn_norm");
  if (!config.adaln()) return;
  const auto holder = register_module("adaLN_modulation", std::make_shared<Container>());
  modulation_ = holder->register_module(
      "1", std::make_shared<Linear>(config.dim, 6 * config.dim, Linear::Bias::kYes, options));
}

BlockState DitBlock::forward(BlockState state) {
  // shift_a, scale_a, gate_a, shift_m, scale_m, gate_m, each [B, D]
  std::vector<at::Tensor> part(6);
  if (modulation_)
    part = modulation_->forward(at::silu(state.cond)).unflatten(1, {6, -1}).unbind(1);
  const LinearInput normed =
      normed_for(attention_->readers(), state.x, state.open, attention_norm_->norm(),
                 {.scale = part[1], .shift = part[0]});
  state.open = {attention_->forward(normed, state.rope), part[2]};
  const LinearInput again = normed_for(feed_forward_->readers(), state.x, state.open,
                                       ffn_norm_->norm(), {.scale = part[4], .shift = part[3]});
  state.open = {feed_forward_->forward(again), part[5]};
  return state;
}

}  // namespace titan::models
