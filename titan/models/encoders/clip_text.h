// clip_text.h: the text half of CLIP, frozen: text tokens to one pooled vector.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/models/encoders/clip_text_config.h"
#include "titan/models/encoders/residual_observer.h"
#include "titan/protocols/frozen_network.h"

namespace titan::models {

class AffineNorm;
class ClipTextLayer;

/// Parameters under Hugging Face's names. Units: embed, block.0 ..., head. One thread at a time.
class ClipTextEncoder : public FrozenNetwork {
 public:
  /// `options`: dtype (float32, bfloat16) and device (meta too) of the parameters.
  ClipTextEncoder(const ClipTextConfig& config, const at::TensorOptions& options);

  /// ids [B, L] int64, L <= positions, on the parameters' device, to [B, width] in their dtype: the
  /// last hidden state at the first place of each text's largest id, which is the end of the text.
  /// Before any projection.
  at::Tensor forward(const at::Tensor& ids) const;
  /// The same before a place is chosen: [B, L, width]. Causal; padding is text like any other.
  at::Tensor last_hidden(const at::Tensor& ids, const ResidualObserver& observe = {}) const;

  std::vector<ModelUnit> units() const override;
  std::shared_ptr<const WeightFormats> weight_formats() const override;
  const ClipTextConfig& config() const { return config_; }

 private:
  ClipTextConfig config_;
  at::Tensor tokens_;     ///< [vocab, width]
  at::Tensor positions_;  ///< [positions, width]
  std::vector<std::shared_ptr<ClipTextLayer>> layers_;
  std::shared_ptr<AffineNorm> final_norm_;
};

}  // namespace titan::models
