#include "titan/models/flux/layers.h"

#include <utility>

#include <ATen/ATen.h>

#include "titan/models/layers/embeddings.h"
#include "titan/ops/gelu_mlp.h"
#include "titan/ops/residual.h"

namespace titan::models {
namespace {

constexpr double kTimeScale = 1000.0;

std::shared_ptr<Linear> linear(int64_t in, int64_t out, const at::TensorOptions& options,
                               bool bias = true) {
  return std::make_shared<Linear>(in, out, bias ? Linear::Bias::kYes : Linear::Bias::kNo, options);
}

}  // namespace

MlpEmbedder::MlpEmbedder(int64_t in, int64_t hidden, const at::TensorOptions& options) {
  in_layer_ = register_module("in_layer", linear(in, hidden, options));
  out_layer_ = register_module("out_layer", linear(hidden, hidden, options));
}

at::Tensor MlpEmbedder::forward(const at::Tensor& x) const {
  return out_layer_->forward(at::silu(in_layer_->forward(x.to(in_layer_->weight.scalar_type()))));
}

at::Tensor timestep_embedding(const at::Tensor& t, int64_t width) {
  return time_sinusoid(t.to(at::kFloat) * kTimeScale, width);
}

FluxModulation::FluxModulation(int64_t hidden, int64_t branches, const at::TensorOptions& options)
    : branches_(branches) {
  lin_ = register_module("lin", linear(hidden, 3 * branches * hidden, options));
}

std::vector<BranchModulation> FluxModulation::forward(const at::Tensor& vec) const {
  const std::vector<at::Tensor> part =
      lin_->forward(at::silu(vec)).unflatten(1, {3 * branches_, -1}).unbind(1);
  std::vector<BranchModulation> branches;
  for (std::size_t i = 0; i < part.size(); i += 3)
    branches.push_back({.shift = part[i], .scale = part[i + 1], .gate = part[i + 2]});
  return branches;
}

QkNorm::QkNorm(int64_t head_dim, const at::TensorOptions& options) {
  const auto scale = [&](const char* name) {
    return register_module(name, std::make_shared<Container>())
        ->register_parameter("scale", at::empty({head_dim}, options));
  };
  query_scale = scale("query_norm");
  key_scale = scale("key_norm");
}

StreamProjections::StreamProjections(const FluxConfig& config, const at::TensorOptions& options) {
  const int64_t h = config.hidden_size;
  qkv_ = register_module("qkv", linear(h, 3 * h, options, config.qkv_bias));
  norm_ = register_module("norm", std::make_shared<QkNorm>(config.head_dim(), options));
  proj_ = register_module("proj", linear(h, h, options));
}

ops::StreamQkv StreamProjections::qkv(const LinearInput& x) const {
  return {qkv_->forward(x), norm_->query_scale, norm_->key_scale};
}

GeluMlp::GeluMlp(int64_t dim, int64_t hidden, const at::TensorOptions& options) {
  first_ = register_module("0", linear(dim, hidden, options));
  second_ = register_module("2", linear(hidden, dim, options));
}

at::Tensor GeluMlp::forward(const LinearInput& x) const {
  const bool bare = !first_->float8 && !second_->float8;
  return bare ? ops::gelu_mlp(x.tensor(), first_->weight, first_->bias, second_->weight,
                              second_->bias)
              : second_->forward(gelu_for(*second_, first_->forward(x)));
}

at::Tensor closed(const at::Tensor& x, const Residual& open) {
  return open.branch.defined() ? ops::gated_residual(x, open.branch, open.gate) : x;
}

}  // namespace titan::models
