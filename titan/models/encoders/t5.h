// t5.h: the encoder half of T5, frozen: text tokens to one vector each.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/models/encoders/residual_observer.h"
#include "titan/models/encoders/t5_config.h"
#include "titan/protocols/frozen_network.h"

namespace titan::models {

class T5Block;
class T5Norm;

/// Parameters under Hugging Face's names. Units: embed, block.0 ..., head. One thread at a time.
class T5Encoder : public FrozenNetwork {
 public:
  /// `options`: dtype (float32, bfloat16) and device (meta too) of the parameters.
  T5Encoder(const T5Config& config, const at::TensorOptions& options);

  /// ids [B, L] int64, on the parameters' device, to [B, L, d_model] in their dtype. There is no
  /// mask: padding is text like any other, as in the reference.
  at::Tensor forward(const at::Tensor& ids, const ResidualObserver& observe = {}) const;

  std::vector<ModelUnit> units() const override;
  std::shared_ptr<const WeightFormats> weight_formats() const override;
  const T5Config& config() const { return config_; }

 private:
  /// For the length of `ids`, on their device; kept from one call to the next.
  const at::Tensor& distance_buckets(const at::Tensor& ids) const;

  T5Config config_;
  at::Tensor shared_;  ///< [vocab, d_model]
  std::vector<std::shared_ptr<T5Block>> blocks_;
  std::shared_ptr<T5Norm> final_norm_;
  mutable at::Tensor distance_buckets_;
};

}  // namespace titan::models
