// stream_qkv.h: queries, keys and values of stream_attention.h, each in one buffer for all streams.
#pragma once

#include <ATen/core/Tensor.h>

#include "titan/ops/stream_attention.h"

namespace titan::ops {

/// [B, N, H, D_head] each, normalised and turned.
struct Heads {
  at::Tensor q, k, v;
};

/// Heads of both streams, text first. Shapes have been checked.
Heads joint_heads(const StreamQkv& txt, const StreamQkv& img, const StreamAttention& options);

/// From y [B, N, 3 H D_head + M]: the heads, and inner [B, N, H D_head + M] whose last M columns
/// are gelu_tanh of y's; the first H D_head are not written (place_attended does).
struct ParallelHeads {
  Heads heads;
  at::Tensor inner;
};
/// Whether `inner` is computed; else one NaN stands for it, by which gradients reach y.
enum class Inner { kComputed, kStandIn };
/// Whether the fused operation serves y; else take apart, work and concatenate.
bool has_parallel_heads(const at::Tensor& y);
ParallelHeads parallel_heads(const at::Tensor& y, const at::Tensor& q_scale,
                             const at::Tensor& k_scale, const StreamAttention& options,
                             Inner inner = Inner::kComputed);
/// `inner` with its first columns set to `attended` [B, N, H D_head], in place; `inner` must not be
/// used otherwise.
at::Tensor place_attended(const at::Tensor& inner, const at::Tensor& attended);

namespace detail {
/// Throws titan::Error where the arguments of joint_attention or parallel_attention do not fit.
void check_streams(const at::Tensor& qkv, const at::Tensor& q_scale, const at::Tensor& k_scale,
                   const StreamAttention& options, int64_t tokens);
}  // namespace detail

/// Heads of one stream in separate operations; `rope` is the stream's part of the table.
Heads separate_heads(const at::Tensor& qkv, const at::Tensor& q_scale, const at::Tensor& k_scale,
                     const StreamAttention& options, const at::Tensor& rope);

}  // namespace titan::ops
