// stream_qkv_kernel.h: from tensors to the raw-pointer kernel of stream_qkv.h.
#pragma once

#include <tuple>

#include <ATen/ATen.h>

#include "titan/kernels/stream_qkv.h"
#include "titan/ops/dispatch.h"

namespace titan::ops::detail {

/// Buffers that all streams share: q, k, v, and what backward needs.
struct JointBuffers {
  at::Tensor q, k, v, q_rstd, k_rstd;

  JointBuffers(const at::Tensor& like, int64_t tokens, int64_t heads, int64_t head_dim)
      : q(at::empty({like.size(0), tokens, heads, head_dim}, like.options())),
        k(at::empty_like(q)),
        v(at::empty_like(q)),
        q_rstd(at::empty({like.size(0), tokens, heads}, like.options().dtype(at::kFloat))),
        k_rstd(at::empty_like(q_rstd)) {}
};

inline kernels::StreamQkvProblem stream_problem(const at::Tensor& in, const at::Tensor& q,
                                                int64_t first_token, double eps) {
  return {.batch = in.size(0),
          .tokens = in.size(1),
          .heads = q.size(2),
          .head_dim = q.size(3),
          .in_stride = in.size(2),
          .joint_tokens = q.size(1),
          .first_token = first_token,
          .eps = static_cast<float>(eps),
          .storage = storage_of(in)};
}

/// The scales in float32, held while their pointers are used.
struct HeldScales {
  at::Tensor q, k;
  HeldScales(const at::Tensor& q_scale, const at::Tensor& k_scale)
      : q(q_scale.to(at::kFloat).contiguous()), k(k_scale.to(at::kFloat).contiguous()) {}
  kernels::StreamQkvParameters raw(const at::Tensor& rope) const {
    return {.q_scale = q.const_data_ptr<float>(),
            .k_scale = k.const_data_ptr<float>(),
            .rope = rope.const_data_ptr<float>()};
  }
};

/// Fills the stream's part of the joint buffers; `in` and `rope` are contiguous.
inline void run_stream_forward(const at::Tensor& in, const at::Tensor& q_scale,
                               const at::Tensor& k_scale, const at::Tensor& rope,
                               int64_t first_token, double eps, const JointBuffers& out) {
  const HeldScales scales(q_scale, k_scale);
  kernels::cpu::stream_qkv_forward(stream_problem(in, out.q, first_token, eps), scales.raw(rope),
                                   {.in = in.const_data_ptr(),
                                    .q = out.q.mutable_data_ptr(),
                                    .k = out.k.mutable_data_ptr(),
                                    .v = out.v.mutable_data_ptr(),
                                    .q_rstd = out.q_rstd.mutable_data_ptr<float>(),
                                    .k_rstd = out.k_rstd.mutable_data_ptr<float>()});
}

/// Gradients that reach q, k, v, contiguous and in the streams' dtype; zero where undefined.
struct HeadGradients {
  at::Tensor q, k, v;
};

/// Gradients of the stream's projections and scales.
struct StreamGradients {
  at::Tensor in, q_scale, k_scale;
};
inline StreamGradients run_stream_backward(const HeadGradients& grads, const at::Tensor& in,
                                           const at::Tensor& q_scale, const at::Tensor& k_scale,
                                           const at::Tensor& rope, int64_t first_token,
                                           const at::Tensor& q_rstd, const at::Tensor& k_rstd) {
  const HeldScales scales(q_scale, k_scale);
  const kernels::StreamQkvProblem problem = stream_problem(in, grads.q, first_token, /*eps=*/0.0);
  const at::TensorOptions float32 = in.options().dtype(at::kFloat);
  const at::Tensor grad_in = at::empty_like(in);
  const at::Tensor grad_q_scale = at::empty({problem.head_dim}, float32),
                   grad_k_scale = at::empty({problem.head_dim}, float32);
  const at::Tensor partial = at::empty({kernels::stream_qkv_partial_size(problem)}, float32);
  kernels::cpu::stream_qkv_backward(problem, scales.raw(rope),
                                    {.grad_q = grads.q.const_data_ptr(),
                                     .grad_k = grads.k.const_data_ptr(),
                                     .grad_v = grads.v.const_data_ptr(),
                                     .in = in.const_data_ptr(),
                                     .q_rstd = q_rstd.const_data_ptr<float>(),
                                     .k_rstd = k_rstd.const_data_ptr<float>(),
                                     .grad_in = grad_in.mutable_data_ptr(),
                                     .grad_q_scale = grad_q_scale.mutable_data_ptr<float>(),
                                     .grad_k_scale = grad_k_scale.mutable_data_ptr<float>(),
                                     .partial = partial.mutable_data_ptr<float>()});
  return {grad_in, grad_q_scale.to(q_scale.scalar_type()), grad_k_scale.to(k_scale.scalar_type())};
}

}  // namespace titan::ops::detail
