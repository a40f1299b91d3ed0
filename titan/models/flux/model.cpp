#include "titan/models/flux/model.h"

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/models/flux/init.h"
#include "titan/models/flux/latents.h"
#include "titan/models/layers/rope_table.h"

namespace titan::models {

Flux::Flux(const FluxConfig& config, const at::TensorOptions& options) : config_(config) {
  const int64_t h = config.hidden_size;
  const auto linear = [&](const char* name, int64_t in) {
    return register_module(name, std::make_shared<Linear>(in, h, Linear::Bias::kYes, options));
  };
  const auto embedder = [&](const char* name, int64_t in) {
    return register_module(name, std::make_shared<MlpEmbedder>(in, h, options));
  };
  img_in_ = linear("img_in", config.in_channels);
  time_in_ = embedder("time_in", FluxConfig::kTimeWidth);
  vector_in_ = embedder("vector_in", config.vec_in_dim);
  if (config.guidance_embed) guidance_in_ = embedder("guidance_in", FluxConfig::kTimeWidth);
  txt_in_ = linear("txt_in", config.context_in_dim);
  const auto double_blocks = register_module("double_blocks", std::make_shared<Container>());
  for (int64_t i = 0; i < config.depth; ++i) {
    blocks_.push_back(double_blocks->register_module(
        std::to_string(i), std::make_shared<DoubleBlock>(config, options)));
  }
  const auto single_blocks = register_module("single_blocks", std::make_shared<Container>());
  for (int64_t i = 0; i < config.depth_single_blocks; ++i) {
    blocks_.push_back(single_blocks->register_module(
        std::to_string(i), std::make_shared<SingleBlock>(config, options)));
  }
  final_layer_ = register_module(
      "final_layer", std::make_shared<LastLayer>(h, config.outputs(), config.norm_eps, options));
}

BlockState Flux::embed(const at::Tensor& x_t, const at::Tensor& t, const Conditioning& condition) {
  check_inputs(x_t, t, condition);
  const at::ScalarType dtype = img_in_->weight.scalar_type();
  const at::Tensor txt = condition.get("txt");
  BlockState state;
  state.x = img_in_->forward(pack_latents(x_t.to(dtype)));
  state.txt = txt_in_->forward(txt.to(dtype));
  state.cond = conditioning_vector(t, condition);
  state.rope = rope_table(txt.size(1), x_t.size(2) / FluxConfig::kPatch,
                          x_t.size(3) / FluxConfig::kPatch, x_t.device());
  return state;
}

void Flux::check_inputs(const at::Tensor& x_t, const at::Tensor& t,
                        const Conditioning& condition) const {
  TITAN_CHECK(x_t.dim() == 4 && x_t.size(1) == config_.latent_channels(),
              "[flux] the input must be latents [B, C, H, W] with C = in_channels / 4 (input=",
              x_t.sizes(), ", in_channels=", config_.in_channels, ")");
  const int64_t batch = x_t.size(0);
  TITAN_CHECK(t.dim() == 1 && (t.size(0) == batch || t.size(0) == 1),
              "[flux] one time for each sample or one for all is needed (t=", t.sizes(),
              ", samples=", batch, ")");
  const at::Tensor txt = condition.get("txt"), y = condition.get("y");
  TITAN_CHECK(txt.defined() && txt.dim() == 3 && txt.size(0) == batch &&
                  txt.size(2) == config_.context_in_dim,
              "[flux] condition \"txt\" must be [B, tokens, context_in_dim] (txt=",
              txt.defined() ? str_cat(txt.sizes()) : "missing", ", samples=", batch,
              ", context_in_dim=", config_.context_in_dim, ")");
  TITAN_CHECK(y.defined() && y.dim() == 2 && y.size(0) == batch && y.size(1) == config_.vec_in_dim,
              "[flux] condition \"y\" must be [B, vec_in_dim] (y=",
              y.defined() ? str_cat(y.sizes()) : "missing", ", samples=", batch,
              ", vec_in_dim=", config_.vec_in_dim, ")");
  const at::Tensor guidance = condition.get("guidance");
  TITAN_CHECK(!config_.guidance_embed || (guidance.defined() && guidance.dim() == 1 &&
                                          (guidance.size(0) == batch || guidance.size(0) == 1)),
              "[flux] a model with guidance_embed needs the condition \"guidance\" [B] (guidance=",
              guidance.defined() ? str_cat(guidance.sizes()) : "missing", ")");
}

at::Tensor Flux::conditioning_vector(const at::Tensor& t, const Conditioning& condition) const {
  at::Tensor vec = time_in_->forward(timestep_embedding(t, FluxConfig::kTimeWidth));
  if (guidance_in_) {
    vec = vec + guidance_in_->forward(
                    timestep_embedding(condition.get("guidance"), FluxConfig::kTimeWidth));
  }
  return vec + vector_in_->forward(condition.get("y"));
}

at::Tensor Flux::head(const BlockState& state, at::IntArrayRef latent_shape) {
  const int64_t rows = latent_shape[2] / FluxConfig::kPatch;
  const int64_t columns = latent_shape[3] / FluxConfig::kPatch;
  // Behind a single block the text tokens stand in front of the image's.
  const auto image_part = [&](const at::Tensor& tokens) {
    return tokens.defined() ? tokens.narrow(1, tokens.size(1) - rows * columns, rows * columns)
                            : tokens;
  };
  const at::Tensor tokens = final_layer_->forward(
      image_part(state.x), {image_part(state.open.branch), state.open.gate}, state.cond);
  return unpack_latents(tokens, rows, columns);
}

std::vector<std::string> Flux::head_parameters() const {
  std::vector<std::string> names;
  for (const auto& entry : named_parameters()) {
    if (entry.key().rfind("final_layer.", 0) == 0) names.push_back(entry.key());
  }
  return names;
}

void Flux::initialize_parameter(std::uint64_t seed, const std::string& name,
                                const init::Slice& parameter) {
  initialize_flux_parameter(seed, name, parameter);
}

at::Tensor Flux::rope_table(int64_t text_tokens, int64_t rows, int64_t columns, at::Device device) {
  for (const RopeTable& made : rope_) {
    if (made.text_tokens == text_tokens && made.rows == rows && made.columns == columns &&
        made.table.device() == device)
      return made.table;
  }
  const at::Tensor table =
      rope_table_axes(joint_positions(text_tokens, rows, columns), config_.axes_dim, config_.theta);
  return rope_.emplace_back(text_tokens, rows, columns, table.to(device)).table;
}

}  // namespace titan::models
