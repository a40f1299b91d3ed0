#include "titan/models/dit/model.h"

#include <utility>

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/models/dit/init.h"
#include "titan/models/layers/layer_inputs.h"
#include "titan/models/layers/rope_table.h"

namespace titan::models {
namespace {
constexpr int64_t kContextTokens = 2;  // time, class
}

Dit::Dit(const DitConfig& config, const at::TensorOptions& options) : config_(config) {
  const int64_t dim = config.dim;
  x_embedder_ = register_module(
      "x_embedder",
      std::make_shared<PatchEmbedding>(config.in_channels, dim, config.patch_size, options));
  y_embedder_ = register_module("y_embedder",
                                std::make_shared<ClassEmbedding>(config.num_classes, dim, options));
  t_embedder_ = register_module("t_embedder",
                                std::make_shared<TimeEmbedding>(dim, config.time_scale, options));
  const auto layers = register_module("layers", std::make_shared<Container>());
  for (int64_t i = 0; i < config.n_layers; ++i) {
    blocks_.push_back(
        layers->register_module(std::to_string(i), std::make_shared<DitBlock>(config, options)));
  }
  norm_ = register_module(
      "norm", std::make_shared<NormLayer>(config.norm_type, dim, config.norm_eps, options));
  const int64_t patch = config.patch_size * config.patch_size * config.in_channels;
  output_ =
      register_module("output", std::make_shared<Linear>(dim, patch, Linear::Bias::kYes, options));
}

BlockState Dit::embed(const at::Tensor& x_t, const at::Tensor& t, const Conditioning& condition) {
  const at::Tensor label = condition.get("label");
  TITAN_CHECK(label.defined() && label.dim() == 1 && label.size(0) == x_t.size(0) && t.dim() == 1 &&
                  t.size(0) == x_t.size(0),
              "[dit] one time and one label per sample are needed (x_t=", x_t.sizes(),
              ", t=", t.sizes(), ")");
  BlockState state;
  state.x = x_embedder_->forward(x_t.to(output_->weight.scalar_type()).contiguous());
  const at::Tensor time = t_embedder_->forward(t);
  const at::Tensor cls = y_embedder_->forward(label);
  const Grid& patches =
      grid(x_t.size(2) / config_.patch_size, x_t.size(3) / config_.patch_size, x_t.device());
  if (patches.positions.defined()) state.x = state.x + patches.positions.to(state.x.scalar_type());
  state.rope = patches.rope;
  if (config_.adaln()) {
    state.cond = time + cls;
  } else {
    state.x = at::cat({state.x, time.unsqueeze(1), cls.unsqueeze(1)}, 1);
  }
  return state;
}

at::Tensor Dit::head(const BlockState& state, at::IntArrayRef latent_shape) {
  BlockState last = state;
  at::Tensor tokens =
      output_->forward(normed_for({output_.get()}, last.x, last.open, norm_->norm(), {}));
  const int64_t rows = latent_shape[2] / config_.patch_size;
  const int64_t columns = latent_shape[3] / config_.patch_size;
  if (!config_.adaln()) tokens = tokens.narrow(1, 0, tokens.size(1) - kContextTokens);
  return unpatchify(tokens, rows, columns, config_.patch_size);
}

std::vector<std::string> Dit::head_parameters() const {
  std::vector<std::string> names;
  for (const auto& entry : named_parameters()) {
    if (entry.key().rfind("norm.", 0) == 0 || entry.key().rfind("output.", 0) == 0)
      names.push_back(entry.key());
  }
  return names;
}

void Dit::initialize_parameter(std::uint64_t seed, const std::string& name,
                               const init::Slice& parameter) {
  models::initialize_parameter(config_, seed, name, parameter);
}

const Dit::Grid& Dit::grid(int64_t rows, int64_t columns, at::Device device) {
  for (const Grid& made : grids_) {
    if (made.rows == rows && made.columns == columns && made.rope.device() == device) return made;
  }
  Grid grid{.rows = rows,
            .columns = columns,
            .rope = rope_table_2d(rows, columns, config_.head_dim(), config_.rope_theta, device),
            .positions = {}};
  if (!config_.adaln()) grid.rope = append_unrotated(grid.rope, kContextTokens);
  if (config_.absolute_positions)
    grid.positions = grid_sinusoid(rows, columns, config_.dim, device);
  return grids_.emplace_back(std::move(grid));
}

at::Tensor published_freqs_cis(const DitConfig& config, int64_t height, int64_t width) {
  return at::view_as_complex(rope_table_2d(height / config.patch_size, width / config.patch_size,
                                           config.head_dim(), config.rope_theta, at::kCPU));
}

}  // namespace titan::models
