// encoder.h: the frozen networks before Flux: T5 and CLIP for captions, an autoencoder for pictures
// (Black Forest Labs' FLUX.1; flux-mlperf.md section 3).
#pragma once

#include <memory>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/protocols/batch_encoder.h"

namespace titan::models {

/// What [encoder] names, built as `placement` says, or null where it names nothing:
///
///   t5_encoder, clip_encoder   captions -> "t5_encodings" [B, L, C], "clip_encodings" [B, P], the
///                              networks' dtype
///   autoencoder_path           "image" [B, 3, H, W] -> "mean", "logvar" [B, c, H/8, W/8]; decodes
///   pixel_patch = n            the same by moving pixels: "mean" [B, 3 n^2, H/n, W/n]; decodes
///   decoder_path               decodes latents
///
/// What a batch brings already (a preprocessed sample) stays as it is. Errors: a missing file, with
/// the command that gets it; a vocabulary or width that does not fit.
StatusOr<std::shared_ptr<BatchEncoder>> make_flux_encoder(const JobConfig& config,
                                                          const EncoderPlacement& placement);

}  // namespace titan::models
