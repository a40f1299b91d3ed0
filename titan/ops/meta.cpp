// The ops on shapes alone: each allocates what its kernel allocates and computes nothing, so memory
// can be planned on the device meta without a model's memory. meta_float8.cpp has those of 8 bits.
#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>
#include <torch/library.h>

#include "titan/kernels/modulate_norm.h"
#include "titan/kernels/mse.h"
#include "titan/kernels/stream_qkv.h"
#include "titan/ops/attention_kernel.h"
#include "titan/ops/dispatch.h"
#include "titan/ops/matrix_rows.h"

namespace titan::ops {
namespace {

using at::Tensor;
using detail::OptionalTensor;

at::TensorOptions float32(const Tensor& like) { return like.options().dtype(at::kFloat); }

std::tuple<Tensor, Tensor, Tensor, Tensor> modulate_norm(
    const Tensor& x_in, const OptionalTensor& branch, const OptionalTensor&, const OptionalTensor&,
    const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, double, bool rms) {
  const Tensor x = x_in.contiguous();
  const Tensor held = branch ? branch->to(x.scalar_type()).contiguous() : Tensor();
  Tensor h = branch ? at::empty_like(x) : Tensor();
  return {h, at::empty_like(x), at::empty({rms ? 0 : x.size(0), x.size(1)}, float32(x)),
          at::empty({x.size(0), x.size(1)}, float32(x))};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> modulate_norm_backward(
    const Tensor& grad_y_in, const OptionalTensor& grad_h_in, const Tensor& h,
    const OptionalTensor& branch_in, const OptionalTensor& gate, const OptionalTensor& weight,
    const OptionalTensor& bias, const OptionalTensor& scale, const OptionalTensor& shift,
    const Tensor&, const Tensor&, bool rms) {
  const at::ScalarType dtype = h.scalar_type();
  const Tensor grad_y = grad_y_in.to(dtype).contiguous();
  const Tensor grad_h = grad_h_in ? grad_h_in->to(dtype).contiguous() : Tensor();
  const Tensor branch = branch_in ? branch_in->to(dtype).contiguous() : Tensor();
  Tensor grad_x = at::empty_like(h), grad_branch = branch_in ? at::empty_like(h) : Tensor();
  std::vector<Tensor> sums;
  for (const OptionalTensor* of : {&gate, &weight, &bias, &scale, &shift})
    sums.push_back(*of ? at::empty((*of)->sizes(), float32(h)) : Tensor());
  const Tensor partial = at::empty({kernels::modulate_norm_partial_size({.batch = h.size(0),
                                                                         .tokens = h.size(1),
                                                                         .dim = h.size(2),
                                                                         .rms = rms,
                                                                         .rows_per_task = 64})},
                                   float32(h));
  const OptionalTensor* of[] = {&gate, &weight, &bias, &scale, &shift};
  for (std::size_t i = 0; i < sums.size(); ++i)
    if (sums[i].defined()) sums[i] = sums[i].to((*of[i])->scalar_type());
  return {grad_x, grad_branch, sums[0], sums[1], sums[2], sums[3], sums[4]};
}

Tensor gelu(const Tensor& x) { return at::empty_like(x.contiguous()); }
Tensor gelu_backward(const Tensor& grad_in, const Tensor& x_in) {
  const Tensor x = x_in.contiguous(), grad = grad_in.to(x.scalar_type()).contiguous();
  return at::empty_like(x);
}

Tensor swiglu(const Tensor& a_in, const Tensor& b_in) {
  const Tensor a = a_in.contiguous(), b = b_in.contiguous();
  return at::empty_like(a);
}
std::tuple<Tensor, Tensor> swiglu_backward(const Tensor& grad_in, const Tensor& a_in,
                                           const Tensor& b_in) {
  const Tensor grad = grad_in.to(a_in.scalar_type()).contiguous();
  const Tensor a = a_in.contiguous(), b = b_in.contiguous();
  return {at::empty_like(a), at::empty_like(b)};
}

Tensor rope(const Tensor& x_in, const Tensor& table_in, bool) {
  const Tensor x = x_in.contiguous(), table = table_in.contiguous();
  return at::empty_like(x);
}

Tensor gated_residual(const Tensor& x_in, const Tensor& branch_in, const Tensor&) {
  const Tensor x = x_in.contiguous(), branch = branch_in.to(x.scalar_type()).contiguous();
  return at::empty_like(x);
}
std::tuple<Tensor, Tensor> gated_residual_backward(const Tensor& grad_in, const Tensor& branch_in,
                                                   const Tensor& gate) {
  const Tensor grad = grad_in.contiguous(), branch = branch_in.to(grad.scalar_type()).contiguous();
  Tensor grad_branch = at::empty_like(branch), grad_gate = at::empty(gate.sizes(), float32(gate));
  return {grad_branch, grad_gate.to(gate.scalar_type())};
}

std::tuple<Tensor, Tensor> attention(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in) {
  const Tensor q = q_in.contiguous(), k = k_in.contiguous(), v = v_in.contiguous();
  return {at::empty_like(q), at::empty({q.size(0), q.size(2), q.size(1)}, float32(q))};
}
std::tuple<Tensor, Tensor, Tensor> attention_backward(const Tensor& grad_in, const Tensor& q_in,
                                                      const Tensor& k_in, const Tensor& v_in,
                                                      const Tensor&, const Tensor&) {
  const Tensor grad = detail::token_rows(grad_in);
  const Tensor q = q_in.contiguous(), k = k_in.contiguous(), v = v_in.contiguous();
  return {at::empty_like(q), at::empty_like(k), at::empty_like(v)};
}

Tensor linear(const Tensor& x_in, const Tensor& weight_in, const OptionalTensor& bias_in) {
  const Tensor x = detail::matrix_rows(x_in), weight = detail::matrix_rows(weight_in);
  const Tensor bias = bias_in ? bias_in->contiguous() : Tensor();
  return at::empty(detail::linear_shape(x_in, weight), x.options());
}
std::tuple<Tensor, Tensor, Tensor> linear_backward(const Tensor& grad_in, const Tensor& x,
                                                   const Tensor& weight,
                                                   std::array<bool, 3> wanted) {
  const Tensor grad = detail::matrix_rows(grad_in);
  Tensor grad_x, grad_weight, grad_bias;
  if (wanted[0]) {
    const Tensor rows = detail::matrix_rows(weight);
    grad_x = at::empty(x.sizes(), grad.options());
  }
  if (wanted[2]) grad_bias = at::empty({grad.size(1)}, grad.options());
  if (wanted[1]) {
    const Tensor rows = detail::matrix_rows(x);
    grad_weight = at::empty(weight.sizes(), grad.options());
  }
  return {grad_x, grad_weight, grad_bias};
}

struct JointBuffers {
  Tensor q, k, v, q_rstd, k_rstd;
  JointBuffers(const Tensor& like, int64_t tokens, int64_t heads, int64_t head_dim)
      : q(at::empty({like.size(0), tokens, heads, head_dim}, like.options())),
        k(at::empty_like(q)),
        v(at::empty_like(q)),
        q_rstd(at::empty({like.size(0), tokens, heads}, float32(like))),
        k_rstd(at::empty_like(q_rstd)) {}
};

/// Gradients of one stream's projections and scales.
std::vector<Tensor> stream_backward(const Tensor& in, const Tensor& grad_q, const Tensor& q_scale,
                                    const Tensor& k_scale) {
  const Tensor grad_in = at::empty_like(in);
  const Tensor grad_q_scale = at::empty({grad_q.size(3)}, float32(in)),
               grad_k_scale = at::empty({grad_q.size(3)}, float32(in));
  const Tensor partial =
      at::empty({kernels::stream_qkv_partial_size({.batch = in.size(0),
                                                   .tokens = in.size(1),
                                                   .heads = grad_q.size(2),
                                                   .head_dim = grad_q.size(3),
                                                   .in_stride = in.size(2),
                                                   .joint_tokens = grad_q.size(1)})},
                float32(in));
  return {grad_in, grad_q_scale.to(q_scale.scalar_type()), grad_k_scale.to(k_scale.scalar_type())};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> joint_qkv(const Tensor& txt_in,
                                                             const Tensor& txt_q, const Tensor&,
                                                             const Tensor& img_in, const Tensor&,
                                                             const Tensor&, const Tensor&,
                                                             int64_t heads, double) {
  const JointBuffers out(txt_in, txt_in.size(1) + img_in.size(1), heads, txt_q.size(0));
  { const Tensor txt = txt_in.contiguous(); }
  { const Tensor img = img_in.contiguous(); }
  return {out.q, out.k, out.v, out.q_rstd, out.k_rstd};
}
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> joint_qkv_backward(
    const Tensor& grad_q, const Tensor& grad_k, const Tensor& grad_v, const Tensor& txt_in,
    const Tensor& txt_q, const Tensor& txt_k, const Tensor& img_in, const Tensor& img_q,
    const Tensor& img_k, const Tensor&, const Tensor&, const Tensor&) {
  const auto ready = [&](const Tensor& grad) { return grad.to(txt_in.scalar_type()).contiguous(); };
  const Tensor q = ready(grad_q), k = ready(grad_k), v = ready(grad_v);
  const std::vector<Tensor> txt = stream_backward(txt_in.contiguous(), q, txt_q, txt_k);
  const std::vector<Tensor> img = stream_backward(img_in.contiguous(), q, img_q, img_k);
  return {txt[0], txt[1], txt[2], img[0], img[1], img[2]};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> parallel_qkv(
    const Tensor& y_in, const Tensor& q_scale, const Tensor&, const Tensor&, int64_t heads, double,
    bool with_inner) {
  const Tensor y = y_in.contiguous();
  const JointBuffers out(y, y.size(1), heads, q_scale.size(0));
  if (!with_inner) return {out.q, out.k, out.v, Tensor(), out.q_rstd, out.k_rstd};
  Tensor inner =
      at::empty({y.size(0), y.size(1), y.size(2) - 2 * heads * q_scale.size(0)}, y.options());
  return {out.q, out.k, out.v, inner, out.q_rstd, out.k_rstd};
}
std::tuple<Tensor, Tensor, Tensor> parallel_qkv_backward(const Tensor& grad_q, const Tensor& grad_k,
                                                         const Tensor& grad_v,
                                                         const Tensor& grad_inner,
                                                         const Tensor& y_in, const Tensor& q_scale,
                                                         const Tensor& k_scale, const Tensor&,
                                                         const Tensor&, const Tensor&) {
  const Tensor y = y_in.contiguous();
  const auto ready = [&](const Tensor& grad) { return grad.to(y.scalar_type()).contiguous(); };
  const Tensor q = ready(grad_q), k = ready(grad_k), v = ready(grad_v);
  const std::vector<Tensor> stream = stream_backward(y, q, q_scale, k_scale);
  const Tensor inner = ready(grad_inner);
  return {stream[0], stream[1], stream[2]};
}

Tensor mse(const Tensor& prediction_in, const Tensor& target_in) {
  const Tensor prediction = prediction_in.contiguous();
  const Tensor target = target_in.to(at::kFloat).contiguous();
  Tensor out = at::empty({prediction.size(0)}, float32(prediction));
  const int64_t elements = prediction.numel() / std::max<int64_t>(prediction.size(0), 1);
  const Tensor partial =
      at::empty({kernels::mse_partial_size({.batch = prediction.size(0), .elements = elements})},
                float32(prediction));
  return out;
}
Tensor mse_backward(const Tensor& grad, const Tensor& prediction_in, const Tensor& target_in) {
  const Tensor prediction = prediction_in.contiguous();
  const Tensor target = target_in.to(at::kFloat).contiguous(), up = grad.contiguous();
  return at::empty_like(prediction);
}

Tensor philox(const Tensor& sample, const Tensor&, at::IntArrayRef tail_shape, int64_t, int64_t) {
  std::vector<int64_t> shape{sample.numel()};
  shape.insert(shape.end(), tail_shape.begin(), tail_shape.end());
  return at::empty(shape, float32(sample));
}

TORCH_LIBRARY_IMPL(titan, Meta, m) {
  m.impl("modulate_norm", TORCH_FN(modulate_norm));
  m.impl("modulate_norm_backward", TORCH_FN(modulate_norm_backward));
  m.impl("gelu", TORCH_FN(gelu));
  m.impl("gelu_backward", TORCH_FN(gelu_backward));
  m.impl("swiglu", TORCH_FN(swiglu));
  m.impl("swiglu_backward", TORCH_FN(swiglu_backward));
  m.impl("rope", TORCH_FN(rope));
  m.impl("gated_residual", TORCH_FN(gated_residual));
  m.impl("gated_residual_backward", TORCH_FN(gated_residual_backward));
  m.impl("attention", TORCH_FN(attention));
  m.impl("attention_backward", TORCH_FN(attention_backward));
  m.impl("linear", TORCH_FN(linear));
  m.impl("linear_backward", TORCH_FN(linear_backward));
  m.impl("joint_qkv", TORCH_FN(joint_qkv));
  m.impl("joint_qkv_backward", TORCH_FN(joint_qkv_backward));
  m.impl("parallel_qkv", TORCH_FN(parallel_qkv));
  m.impl("parallel_qkv_backward", TORCH_FN(parallel_qkv_backward));
  m.impl("mse", TORCH_FN(mse));
  m.impl("mse_backward", TORCH_FN(mse_backward));
  m.impl("philox_normal", TORCH_FN(philox));
  m.impl("philox_uniform", TORCH_FN(philox));
}

}  // namespace
}  // namespace titan::ops
