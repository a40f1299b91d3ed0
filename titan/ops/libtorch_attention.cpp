#include "titan/ops/libtorch_attention.h"

#include <ATen/ATen.h>
#include <ATen/SDPBackend.h>

#include "titan/ops/kept.h"

namespace titan::ops {
namespace {

bool grouped(const at::Tensor& q, const at::Tensor& k) { return q.size(1) != k.size(1); }

/// What at::scaled_dot_product_attention would run on the CPU.
bool takes_flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return q.is_cpu() &&
         at::_fused_sdp_choice(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/false,
                               /*scale=*/std::nullopt, grouped(q, k)) ==
             static_cast<int64_t>(at::SDPBackend::flash_attention);
}

/// The result and log-sum-exp.
TensorList flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return detail::as_list(at::_scaled_dot_product_flash_attention_for_cpu(q, k, v));
}

TensorList libtorch_derivative(const KeptCall& call) {
  return detail::as_list(at::_scaled_dot_product_flash_attention_for_cpu_backward(
      call.grad, call.inputs[0], call.inputs[1], call.inputs[2], call.results[0], call.results[1],
      /*dropout_p=*/0.0, /*is_causal=*/false));
}
constexpr Keepable kLibTorchKeepable{
    .tag = kAttentionTag, .num_results = 2, .derivative = libtorch_derivative};

}  // namespace

at::Tensor libtorch_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto any_kernel = [&] {
    return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                            /*is_causal=*/false, /*scale=*/std::nullopt,
                                            grouped(q, k));
  };
  if (kept_results() == nullptr) return any_kernel();
  return kept(
      kLibTorchKeepable,
      [&] { return takes_flash(q, k, v) ? flash(q, k, v) : TensorList{any_kernel()}; }, q, k, v);
}

}  // namespace titan::ops
