// names.h: the names under which Flux weights are published: Black Forest Labs' (ours), those of
// diffusers' FluxTransformer2DModel, and torchtitan's. No torch.
#pragma once

#include <memory>

#include "titan/protocols/weight_formats.h"

namespace titan::models {

/// Formats "bfl", "diffusers" and "torchtitan". diffusers splits the fused projections (qkv of the
/// double blocks, linear1 of the single ones) and swaps the halves (shift, scale) of the final
/// layer's modulation; torchtitan calls the norms' scales weights. Depths, widths, guidance and
/// biases are read off the tensors.
std::shared_ptr<const WeightFormats> flux_weight_formats();

}  // namespace titan::models
