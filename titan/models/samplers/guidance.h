// models/samplers: from noise to pictures, given a model's prediction. Single-device code; no
// model, no trainer.
//
// guidance.h: classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).
#pragma once

#include <ATen/core/Tensor.h>

#include "titan/protocols/sampler.h"

namespace titan::samplers {

/// The prediction in float32 at one time for the whole batch: conditional where guidance is 1, else
/// null + guidance (conditional - null).
at::Tensor guided_prediction(const DenoiseFunction& denoise, const at::Tensor& x, double time,
                             const Conditioning& condition, const Conditioning& null_condition,
                             double guidance);

}  // namespace titan::samplers
