// stream_attention.h: attention as the blocks of MMDiT have it (Esser et al. 2024,
// arXiv:2403.03206): queries and keys are normalised per head (RMSNorm with a learned scale) and
// turned by their positions, and tokens of two streams attend to each other.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace titan::ops {

/// One stream's projections and the scales of its norms.
struct StreamQkv {
  at::Tensor qkv;      ///< [B, L, 3 H D_head]: queries, keys, values, each [H, D_head]
  at::Tensor q_scale;  ///< [D_head]
  at::Tensor k_scale;  ///< [D_head]
};

/// What the streams of a joint attention share.
struct StreamAttention {
  int64_t heads = 0;  ///< H
  double eps = 1e-6;  ///< of the norms
  at::Tensor rope;    ///< [L_txt + L_img, D_head / 2, 2] float32, text first
};

/// What each stream gets of a joint attention.
struct StreamOutputs {
  at::Tensor txt;  ///< [B, L_txt, H D_head]
  at::Tensor img;  ///< [B, L_img, H D_head]
};

/// Attention over the tokens of both streams, text first. Norms and rotation are float32, rounded
/// once to the streams' dtype. Throws titan::Error on shapes that do not fit.
StreamOutputs joint_attention(const StreamQkv& txt, const StreamQkv& img,
                              const StreamAttention& options);

/// The inside of a parallel block: from y [B, N, 3 H D_head + M], which holds queries, keys, values
/// and the feed-forward layer's M inputs side by side, to [B, N, H D_head + M] = (attention output,
/// gelu_tanh(inputs)).
at::Tensor parallel_attention(const at::Tensor& y, const at::Tensor& q_scale,
                              const at::Tensor& k_scale, const StreamAttention& options);

}  // namespace titan::ops
