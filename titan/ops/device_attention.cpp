#include "titan/ops/device_attention.h"

#include <ATen/ATen.h>

#include "titan/ops/gradient_layout.h"
#include "titan/ops/kept.h"

namespace titan::ops {
namespace {

/// The result, log-sum-exp and the two tensors of random state that the kernels fill whether or not
/// they drop anything. Lengths of packed sequences are undefined for a dense batch.
TensorList flash_results(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto all = at::_scaled_dot_product_flash_attention(q, k, v);
  return {std::get<0>(all), std::get<1>(all), std::get<6>(all), std::get<7>(all)};
}
TensorList flash_derivative(const KeptCall& call) {
  const at::Tensor &q = call.inputs[0], &k = call.inputs[1], &v = call.inputs[2];
  return detail::as_list(at::_scaled_dot_product_flash_attention_backward(
      call.grad, q, k, v, call.results[0], call.results[1], /*cum_seq_q=*/{}, /*cum_seq_k=*/{},
      q.size(2), k.size(2), /*dropout_p=*/0.0, /*is_causal=*/false, call.results[2],
      call.results[3]));
}
constexpr Keepable kFlash{.tag = kAttentionTag, .num_results = 4, .derivative = flash_derivative};

TensorList cudnn_results(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         bool training) {
  const auto all = at::_scaled_dot_product_cudnn_attention(q, k, v, /*attn_bias=*/{},
                                                           /*compute_log_sumexp=*/training);
  return {std::get<0>(all), std::get<1>(all), std::get<6>(all), std::get<7>(all)};
}
TensorList cudnn_derivative(const KeptCall& call) {
  const at::Tensor &q = call.inputs[0], &k = call.inputs[1], &v = call.inputs[2];
  return detail::as_list(at::_scaled_dot_product_cudnn_attention_backward(
      call.grad, q, k, v, call.results[0], call.results[1], call.results[2], call.results[3],
      /*attn_bias=*/{}, /*cum_seq_q=*/{}, /*cum_seq_k=*/{}, q.size(2), k.size(2),
      /*dropout_p=*/0.0, /*is_causal=*/false));
}
constexpr Keepable kCudnn{.tag = kAttentionTag, .num_results = 4, .derivative = cudnn_derivative};

}  // namespace

at::Tensor flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return kept(
      kFlash, [&] { return flash_results(q, k, v); }, q, k, v);
}

at::Tensor cudnn_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           bool training) {
  // LibTorch 2.11 looks a plan of cuDNN's backward up by the layouts of q, k and v alone, and the
  // plan holds that of the gradient, too: one that is part of a wider tensor (a Flux single block)
  // would be read with the strides of a double block's. They must not differ.
  return keep_gradient_layout(kept(
      kCudnn, [&] { return cudnn_results(q, k, v, training); }, q, k, v));
}

}  // namespace titan::ops
