#include "titan/models/encoders/t5.h"

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/models/encoders/network_units.h"
#include "titan/models/encoders/t5_layers.h"

namespace titan::models {

T5Encoder::T5Encoder(const T5Config& config, const at::TensorOptions& options) : config_(config) {
  shared_ = add_container(*this, "shared")
                ->register_parameter("weight", at::empty({config.vocab, config.d_model}, options));
  const auto encoder = add_container(*this, "encoder");
  const auto block = add_container(*encoder, "block");
  for (int64_t i = 0; i < config.layers; ++i) {
    blocks_.push_back(block->register_module(
        std::to_string(i), std::make_shared<T5Block>(config, /*has_bias=*/i == 0, options)));
  }
  final_norm_ = encoder->register_module(
      "final_layer_norm", std::make_shared<T5Norm>(config.d_model, config.eps, options));
  freeze(*this);
}

at::Tensor T5Encoder::forward(const at::Tensor& ids, const ResidualObserver& observe) const {
  TITAN_CHECK(ids.dim() == 2 && ids.size(1) > 0, "[t5] ids must be [B, L] (ids=", ids.sizes(), ")");
  const at::NoGradGuard no_grad;
  begin_pass();
  at::Tensor x = run_unit(0, [&] { return at::embedding(shared_, ids); });
  at::Tensor bias;  // the first block's, for all
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (observe) observe(static_cast<int64_t>(i), x);
    x = run_unit(i + 1, [&] {
      if (i == 0) bias = blocks_[0]->attention().position_bias(distance_buckets(ids));
      blocks_[i]->forward_(x, bias);
      return x;
    });
  }
  if (observe) observe(config_.layers, x);
  return run_unit(blocks_.size() + 1, [&] { return final_norm_->forward(x); });
}

const at::Tensor& T5Encoder::distance_buckets(const at::Tensor& ids) const {
  const int64_t distances = 2 * ids.size(1) - 1;
  if (!distance_buckets_.defined() || distance_buckets_.size(0) != distances ||
      distance_buckets_.device() != ids.device()) {
    distance_buckets_ =
        t5_distance_buckets(ids.size(1), config_.relative_buckets, config_.relative_max_distance)
            .to(ids.device());
  }
  return distance_buckets_;
}

std::vector<ModelUnit> T5Encoder::units() const {
  std::vector<UnitNames> names = {{"embed", "shared."}};
  for (std::size_t i = 0; i < blocks_.size(); ++i)
    names.push_back({str_cat("block.", i), str_cat("encoder.block.", i, ".")});
  names.push_back({"head", "encoder.final_layer_norm."});
  return units_by_name(*this, names);
}

std::shared_ptr<const WeightFormats> T5Encoder::weight_formats() const {
  return t5_weight_formats();
}

}  // namespace titan::models
