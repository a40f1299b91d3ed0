// block.h: one transformer block of the DiT.
#pragma once

#include <memory>

#include "titan/models/dit/config.h"
#include "titan/models/layers/attention.h"
#include "titan/models/layers/feed_forward.h"
#include "titan/models/layers/norm.h"
#include "titan/protocols/block.h"

namespace titan::models {

/// Parameters "attention.*", "feed_forward.*", "attention_norm.*", "ffn_norm.*" and, with adaLN,
/// "adaLN_modulation.1.*":
///
///   h   = x + gate_a * attention(norm(x) * (1 + scale_a) + shift_a)
///   out = h + gate_m * feed_forward(norm(h) * (1 + scale_m) + shift_m)
///
/// The six vectors are one linear map of silu(cond); in context mode they are absent. `out` is left
/// open (BlockState::open), so the next block or the head adds and normalises in one pass.
class DitBlock : public Block {
 public:
  DitBlock(const DitConfig& config, const at::TensorOptions& options);
  BlockState forward(BlockState state) override;

 private:
  std::shared_ptr<SelfAttention> attention_;
  std::shared_ptr<FeedForward> feed_forward_;
  std::shared_ptr<NormLayer> attention_norm_;
  std::shared_ptr<NormLayer> ffn_norm_;
  std::shared_ptr<Linear> modulation_;  ///< null in context mode
};

}  // namespace titan::models
