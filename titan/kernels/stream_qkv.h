// stream_qkv.h: from one stream's projections to its rows of joint queries, keys and values:
// RMSNorm of every head's queries and keys with a learned scale, rotation by position, and the copy
// that joins the streams, in one pass.
//
//   q = rotate(x_q / sqrt(mean(x_q^2) + eps) * q_scale), k likewise, v = x_v
//
// Projections of a token: queries, keys, values, each [heads, head_dim], at the start of a row of
// in_stride elements. q, k, v [batch, joint_tokens, heads, head_dim] contiguous; this stream's
// tokens are first_token and those behind it. Projections, q, k, v are float32 or bfloat16, all
// else float32; arithmetic is float32, results are rounded once. (Esser et al. 2024,
// arXiv:2403.03206.) Traffic per projected element: forward 1 read, 1 write; backward 2 reads, 1
// write.
#pragma once

#include <cstdint>

#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

struct StreamQkvProblem {
  int64_t batch = 0;
  int64_t tokens = 0;  ///< of this stream
  int64_t heads = 0;
  int64_t head_dim = 0;  ///< even
  int64_t in_stride = 0;
  int64_t joint_tokens = 0;
  int64_t first_token = 0;
  float eps = 1e-6F;
  StorageType storage = StorageType::kFloat32;
};

/// What normalises and turns.
struct StreamQkvParameters {
  const float* q_scale = nullptr;  ///< [head_dim]
  const float* k_scale = nullptr;  ///< [head_dim]
  const float* rope = nullptr;     ///< [joint_tokens, head_dim / 2, 2], cosine and sine
};

struct StreamQkvForward {
  const void* in = nullptr;
  void *q = nullptr, *k = nullptr, *v = nullptr;
  float *q_rstd = nullptr, *k_rstd = nullptr;  ///< [batch, joint_tokens, heads]
};

struct StreamQkvBackward {
  const void *grad_q = nullptr, *grad_k = nullptr, *grad_v = nullptr;  ///< contiguous, as q, k, v
  const void* in = nullptr;
  const float *q_rstd = nullptr, *k_rstd = nullptr;
  void* grad_in = nullptr;  ///< rows of in_stride; what lies behind the projections is not touched
  float *grad_q_scale = nullptr, *grad_k_scale = nullptr;  ///< [head_dim]
  float* partial = nullptr;  ///< scratch of stream_qkv_partial_size() floats
};

/// Floats that `partial` needs.
int64_t stream_qkv_partial_size(const StreamQkvProblem& problem);

namespace cpu {
void stream_qkv_forward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                        const StreamQkvForward& io);
void stream_qkv_backward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                         const StreamQkvBackward& io);
}  // namespace cpu

namespace cuda {
/// Floats that `partial` needs on a device.
int64_t stream_qkv_partial_size(const StreamQkvProblem& problem);
/// As on the CPU, on the device of `stream`; head_dim at most 256. Forward: one block of 256
/// threads a row; backward: one for 8 rows, whose sums are then added in order. head_dim / (16
/// bytes) threads share a head where that is a power of two up to 32 and pointers and strides allow
/// it, else a warp does, pair by pair.
void stream_qkv_forward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                        const StreamQkvForward& io, CUstream_st* stream);
void stream_qkv_backward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                         const StreamQkvBackward& io, CUstream_st* stream);
}  // namespace cuda

}  // namespace titan::kernels
