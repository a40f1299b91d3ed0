#include "titan/models/encoders/clip_text.h"

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/models/encoders/clip_text_layers.h"
#include "titan/models/encoders/network_units.h"

namespace titan::models {

ClipTextEncoder::ClipTextEncoder(const ClipTextConfig& config, const at::TensorOptions& options)
    : config_(config) {
  const auto text = add_container(*this, "text_model");
  const auto embeddings = add_container(*text, "embeddings");
  const auto add_embedding = [&](const char* name, int64_t count) {
    return add_container(*embeddings, name)
        ->register_parameter("weight", at::empty({count, config.width}, options));
  };
  tokens_ = add_embedding("token_embedding", config.vocab);
  positions_ = add_embedding("position_embedding", config.positions);
  const auto layers = add_container(*add_container(*text, "encoder"), "layers");
  for (int64_t i = 0; i < config.layers; ++i) {
    layers_.push_back(layers->register_module(std::to_string(i),
                                              std::make_shared<ClipTextLayer>(config, options)));
  }
  final_norm_ = text->register_module(
      "final_layer_norm", std::make_shared<AffineNorm>(config.width, config.eps, options));
  freeze(*this);
}

at::Tensor ClipTextEncoder::last_hidden(const at::Tensor& ids,
                                        const ResidualObserver& observe) const {
  TITAN_CHECK(ids.dim() == 2 && ids.size(1) > 0 && ids.size(1) <= config_.positions,
              "[clip] ids must be [B, L] with L up to ", config_.positions, " (ids=", ids.sizes(),
              ")");
  const at::NoGradGuard no_grad;
  begin_pass();
  at::Tensor x = run_unit(
      0, [&] { return at::embedding(tokens_, ids).add_(positions_.narrow(0, 0, ids.size(1))); });
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (observe) observe(static_cast<int64_t>(i), x);
    x = run_unit(i + 1, [&] { return layers_[i]->forward(x); });
  }
  if (observe) observe(config_.layers, x);
  return run_unit(layers_.size() + 1, [&] { return final_norm_->forward(x); });
}

at::Tensor ClipTextEncoder::forward(const at::Tensor& ids) const {
  const at::Tensor hidden = last_hidden(ids);
  const at::NoGradGuard no_grad;
  const at::Tensor place = ids.argmax(1);  // the first of equal ones
  const at::Tensor row = at::arange(ids.size(0), ids.options().dtype(at::kLong)) * ids.size(1);
  return hidden.flatten(0, 1).index_select(0, row + place);
}

std::vector<ModelUnit> ClipTextEncoder::units() const {
  std::vector<UnitNames> names = {{"embed", "text_model.embeddings."}};
  for (std::size_t i = 0; i < layers_.size(); ++i)
    names.push_back({str_cat("block.", i), str_cat("text_model.encoder.layers.", i, ".")});
  names.push_back({"head", "text_model.final_layer_norm."});
  return units_by_name(*this, names);
}

std::shared_ptr<const WeightFormats> ClipTextEncoder::weight_formats() const {
  return clip_text_weight_formats();
}

}  // namespace titan::models
