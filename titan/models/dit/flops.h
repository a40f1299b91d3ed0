// flops.h: model FLOPs of one sample. Weights that act once per sample (time, modulation) are
// counted once per sample, the class table (a look-up) not at all; one multiply-add is 2.
#pragma once

#include <cstdint>

#include "titan/models/dit/config.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

/// Forward FLOPs by part.
struct DitFlops {
  int64_t block_linears = 0;
  int64_t patch_embedding = 0;
  int64_t output = 0;
  int64_t adaln = 0;
  int64_t time_mlp = 0;
  int64_t attention = 0;
  int64_t forward() const {
    return block_linears + patch_embedding + output + adaln + time_mlp + attention;
  }
};

/// For one input of height x width.
DitFlops dit_flops(const DitConfig& config, int64_t height, int64_t width);

/// Forward and training (3 x forward) FLOPs.
ModelFlops model_flops(const DitFlops& flops);

}  // namespace titan::models
