// modulate_norm.h: layer_norm and rms_norm with adaptive scale and shift, alone or behind the
// residual that feeds them.
#pragma once

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// A normalisation over the last dimension: LayerNorm or RMSNorm, with or without its own affine
/// map.
struct Norm {
  bool rms = true;         ///< RMSNorm, else LayerNorm
  double eps = 1e-5;       ///< added to the variance
  at::Tensor weight = {};  ///< [D], or undefined = 1
  at::Tensor bias = {};    ///< [D], or undefined = 0
};

/// Adaptive scale and shift of each sample, [B, D] or [B, 1, D]; undefined = 0.
struct Modulation {
  at::Tensor scale = {};  ///< [B, D]
  at::Tensor shift = {};  ///< [B, D]
};

/// What residual_modulate_norm gives.
struct ResidualNorm {
  at::Tensor h;  ///< the residual stream after the addition
  at::Tensor y;  ///< its normalised, modulated form
};

/// norm(x) * (1 + scale) + shift for x [B, N, D] float32 or bfloat16 (other dtypes run in plain
/// ATen); statistics are float32. adaLN, Peebles & Xie 2023, arXiv:2212.09748, section 3.2. Throws
/// titan::Error on shapes that do not fit.
at::Tensor modulate_norm(const at::Tensor& x, const Norm& norm, const Modulation& modulation = {});

/// h = x + gate * branch and y = norm(h) * (1 + scale) + shift in one pass; gate [B, D] or [B, 1,
/// D], undefined = 1.
ResidualNorm residual_modulate_norm(const at::Tensor& x, const at::Tensor& branch,
                                    const at::Tensor& gate, const Norm& norm,
                                    const Modulation& modulation = {});

}  // namespace titan::ops
