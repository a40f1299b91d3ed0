#include "titan/ops/libtorch_attention.h"

#include <ATen/ATen.h>
#include <ATen/SDPBackend.h>

#include "titan/ops/kept.h"

namespace titan::ops {
namespace {

bool grouped(const at::Tensor& q, const at::Tensor& k) { return q.size(1) != k.size(1); }

/// What at::scaled_dot_product_attention would run; on a device it first pads heads that are no
/// multiple of 8 wide.
bool takes_flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  constexpr int64_t kDevicePadding = 8;
  return (q.is_cpu() || q.size(3) % kDevicePadding == 0) &&
         at::_fused_sdp_choice(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/false,
                               /*scale=*/std::nullopt, grouped(q, k)) ==
             static_cast<int64_t>(at::SDPBackend::flash_attention);
}

/// The result, log-sum-exp and, on a device, the two tensors of random state that the kernel fills
/// whether or not it drops anything.
TensorList flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  if (q.is_cpu()) return detail::as_list(at::_scaled_dot_product_flash_attention_for_cpu(q, k, v));
  const auto all = at::_scaled_dot_product_flash_attention(q, k, v);
  return {std::get<0>(all), std::get<1>(all), std::get<6>(all), std::get<7>(all)};
}

TensorList derivative(const KeptCall& call) {
  const at::Tensor &q = call.inputs[0], &k = call.inputs[1], &v = call.inputs[2];
  if (q.is_cpu()) {
    return detail::as_list(at::_scaled_dot_product_flash_attention_for_cpu_backward(
        call.grad, q, k, v, call.results[0], call.results[1], /*dropout_p=*/0.0,
        /*is_causal=*/false));
  }
  // Lengths of packed sequences are undefined for a dense batch.
  return detail::as_list(at::_scaled_dot_product_flash_attention_backward(
      call.grad, q, k, v, call.results[0], call.results[1], /*cum_seq_q=*/{}, /*cum_seq_k=*/{},
      q.size(2), k.size(2), /*dropout_p=*/0.0, /*is_causal=*/false, call.results[2],
      call.results[3]));
}
constexpr Keepable kKeepable{.tag = kAttentionTag, .num_results = 2, .derivative = derivative};

}  // namespace

at::Tensor libtorch_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto any_kernel = [&] {
    return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                            /*is_causal=*/false, /*scale=*/std::nullopt,
                                            grouped(q, k));
  };
  if (kept_results() == nullptr) return any_kernel();
  return kept(
      kKeepable, [&] { return takes_flash(q, k, v) ? flash(q, k, v) : TensorList{any_kernel()}; },
      q, k, v);
}

}  // namespace titan::ops
