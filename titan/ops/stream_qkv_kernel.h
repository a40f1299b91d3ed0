// stream_qkv_kernel.h: from tensors to the raw-pointer kernels of stream_qkv.h, the same for every
// device. `Kernels` holds the device's: forward, backward, partial_size, gelu_forward and
// gelu_backward. Included by joint_qkv.cpp, parallel_qkv.cpp and the CUDA library.
#pragma once

#include <tuple>

#include <ATen/ATen.h>

#include "titan/kernels/elementwise.h"
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
template <class Kernels>
void run_stream_forward(const at::Tensor& in, const at::Tensor& q_scale, const at::Tensor& k_scale,
                        const at::Tensor& rope, int64_t first_token, double eps,
                        const JointBuffers& out) {
  const HeldScales scales(q_scale, k_scale);
  Kernels::forward(stream_problem(in, out.q, first_token, eps), scales.raw(rope),
                   kernels::StreamQkvForward{.in = in.const_data_ptr(),
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
template <class Kernels>
StreamGradients run_stream_backward(const HeadGradients& grads, const at::Tensor& in,
                                    const at::Tensor& q_scale, const at::Tensor& k_scale,
                                    const at::Tensor& rope, int64_t first_token,
                                    const at::Tensor& q_rstd, const at::Tensor& k_rstd) {
  const HeldScales scales(q_scale, k_scale);
  const kernels::StreamQkvProblem problem = stream_problem(in, grads.q, first_token, /*eps=*/0.0);
  const at::TensorOptions float32 = in.options().dtype(at::kFloat);
  const at::Tensor grad_in = at::empty_like(in);
  const at::Tensor grad_q_scale = at::empty({problem.head_dim}, float32),
                   grad_k_scale = at::empty({problem.head_dim}, float32);
  const at::Tensor partial = at::empty({Kernels::partial_size(problem)}, float32);
  Kernels::backward(
      problem, scales.raw(rope),
      kernels::StreamQkvBackward{.grad_q = grads.q.const_data_ptr(),
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

struct CpuKernels {
  static int64_t partial_size(const kernels::StreamQkvProblem& problem) {
    return kernels::stream_qkv_partial_size(problem);
  }
  static constexpr auto forward = kernels::cpu::stream_qkv_forward;
  static constexpr auto backward = kernels::cpu::stream_qkv_backward;
  static constexpr auto gelu_forward = kernels::cpu::gelu_forward;
  static constexpr auto gelu_backward = kernels::cpu::gelu_backward;
};

using JointForward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
/// Gradients of the text's projections and scales, then the image's.
using JointBackward =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Kernels>
JointForward run_joint_forward(const at::Tensor& txt, const at::Tensor& txt_q,
                               const at::Tensor& txt_k, const at::Tensor& img,
                               const at::Tensor& img_q, const at::Tensor& img_k,
                               const at::Tensor& rope_in, int64_t heads, double eps) {
  const at::Tensor rope = rope_in.contiguous();
  const JointBuffers out(txt, txt.size(1) + img.size(1), heads, txt_q.size(0));
  run_stream_forward<Kernels>(txt.contiguous(), txt_q, txt_k, rope, 0, eps, out);
  run_stream_forward<Kernels>(img.contiguous(), img_q, img_k, rope, txt.size(1), eps, out);
  return {out.q, out.k, out.v, out.q_rstd, out.k_rstd};
}

template <class Kernels>
JointBackward run_joint_backward(const at::Tensor& grad_q, const at::Tensor& grad_k,
                                 const at::Tensor& grad_v, const at::Tensor& txt,
                                 const at::Tensor& txt_q, const at::Tensor& txt_k,
                                 const at::Tensor& img, const at::Tensor& img_q,
                                 const at::Tensor& img_k, const at::Tensor& rope_in,
                                 const at::Tensor& q_rstd, const at::Tensor& k_rstd) {
  const at::Tensor rope = rope_in.contiguous();
  const auto ready = [&](const at::Tensor& grad) {
    return grad.to(txt.scalar_type()).contiguous();
  };
  const HeadGradients grads{ready(grad_q), ready(grad_k), ready(grad_v)};
  const StreamGradients t =
      run_stream_backward<Kernels>(grads, txt.contiguous(), txt_q, txt_k, rope, 0, q_rstd, k_rstd);
  const StreamGradients i = run_stream_backward<Kernels>(grads, img.contiguous(), img_q, img_k,
                                                         rope, txt.size(1), q_rstd, k_rstd);
  return {t.in, t.q_scale, t.k_scale, i.in, i.q_scale, i.k_scale};
}

/// The feed-forward columns of contiguous y [.., 3 width + M] and inner [.., width + M].
struct GeluColumns {
  kernels::GeluProblem problem;
  int64_t y_offset, inner_offset;  // bytes

  GeluColumns(const at::Tensor& y, int64_t width)
      : problem{.rows = y.size(0) * y.size(1),
                .columns = y.size(2) - 3 * width,
                .x_stride = y.size(2),
                .out_stride = y.size(2) - 2 * width,
                .storage = storage_of(y)},
        y_offset(3 * width * y.element_size()),
        inner_offset(width * y.element_size()) {}
};
inline const void* from(const at::Tensor& tensor, int64_t offset) {
  return static_cast<const char*>(tensor.const_data_ptr()) + offset;
}
inline void* into(const at::Tensor& tensor, int64_t offset) {
  return static_cast<char*>(tensor.mutable_data_ptr()) + offset;
}

/// q, k, v, inner (undefined where not asked for), and what backward needs.
using ParallelForward =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using ParallelBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

template <class Kernels>
ParallelForward run_parallel_forward(const at::Tensor& y_in, const at::Tensor& q_scale,
                                     const at::Tensor& k_scale, const at::Tensor& rope,
                                     int64_t heads, double eps, bool with_inner) {
  const at::Tensor y = y_in.contiguous();
  const int64_t width = heads * q_scale.size(0);
  const JointBuffers out(y, y.size(1), heads, q_scale.size(0));
  run_stream_forward<Kernels>(y, q_scale, k_scale, rope.contiguous(), 0, eps, out);
  if (!with_inner) return {out.q, out.k, out.v, at::Tensor(), out.q_rstd, out.k_rstd};
  const GeluColumns columns(y, width);
  at::Tensor inner = at::empty({y.size(0), y.size(1), columns.problem.out_stride}, y.options());
  Kernels::gelu_forward(columns.problem, from(y, columns.y_offset),
                        into(inner, columns.inner_offset));
  return {out.q, out.k, out.v, inner, out.q_rstd, out.k_rstd};
}

template <class Kernels>
ParallelBackward run_parallel_backward(const at::Tensor& grad_q, const at::Tensor& grad_k,
                                       const at::Tensor& grad_v, const at::Tensor& grad_inner,
                                       const at::Tensor& y_in, const at::Tensor& q_scale,
                                       const at::Tensor& k_scale, const at::Tensor& rope,
                                       const at::Tensor& q_rstd, const at::Tensor& k_rstd) {
  const at::Tensor y = y_in.contiguous();
  const auto ready = [&](const at::Tensor& grad) { return grad.to(y.scalar_type()).contiguous(); };
  const StreamGradients grads =
      run_stream_backward<Kernels>({ready(grad_q), ready(grad_k), ready(grad_v)}, y, q_scale,
                                   k_scale, rope.contiguous(), 0, q_rstd, k_rstd);
  const GeluColumns columns(y, q_rstd.size(2) * q_scale.size(0));
  const at::Tensor inner = ready(grad_inner);
  Kernels::gelu_backward(columns.problem, from(inner, columns.inner_offset),
                         from(y, columns.y_offset), into(grads.in, columns.y_offset));
  return {grads.in, grads.q_scale, grads.k_scale};
}

}  // namespace titan::ops::detail
