// flops.h: model FLOPs of one sample of Flux. Linear maps of a token are counted once a token,
// those of the conditioning vector once a sample; one multiply-add is 2.
#pragma once

#include <cstdint>

#include "titan/models/flux/config.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

/// Forward FLOPs by part.
struct FluxFlops {
  int64_t double_linears = 0;
  int64_t single_linears = 0;
  int64_t attention = 0;
  int64_t modulation = 0;
  int64_t embedders = 0;     ///< time, pooled text, guidance
  int64_t token_inputs = 0;  ///< img_in, txt_in
  int64_t output = 0;
  int64_t forward() const {
    return double_linears + single_linears + attention + modulation + embedders + token_inputs +
           output;
  }
};

FluxFlops flux_flops(const FluxConfig& config, int64_t image_tokens, int64_t text_tokens);

/// What a forward and backward pass really multiplies: 3 x forward less the gradients of inputs
/// that nobody needs (img_in, txt_in, the first layer of each embedder).
int64_t flux_train_flops_executed(const FluxConfig& config, int64_t image_tokens,
                                  int64_t text_tokens);

}  // namespace titan::models
