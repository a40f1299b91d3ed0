#include "titan/ops/attention.h"

#include <tuple>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/kernels/attention.h"
#include "titan/ops/attention_backend.h"
#include "titan/ops/attention_kernel.h"
#include "titan/ops/backend.h"
#include "titan/ops/device_attention.h"
#include "titan/ops/dispatch.h"
#include "titan/ops/kept.h"
#include "titan/ops/libtorch_attention.h"
#include "titan/ops/reference.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kAttention = "titan::attention";
constexpr const char* kAttentionBackward = "titan::attention_backward";

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

std::tuple<at::Tensor, at::Tensor> attention_forward_cpu(const at::Tensor& q_in,
                                                         const at::Tensor& k_in,
                                                         const at::Tensor& v_in) {
  const at::Tensor q = q_in.contiguous(), k = k_in.contiguous(), v = v_in.contiguous();
  at::Tensor out = at::empty_like(q);
  at::Tensor logsumexp = at::empty({q.size(0), q.size(2), q.size(1)}, q.options());
  kernels::cpu::attention_forward(detail::attention_problem(q, k),
                                  {.q = q.const_data_ptr<float>(),
                                   .k = k.const_data_ptr<float>(),
                                   .v = v.const_data_ptr<float>(),
                                   .out = out.mutable_data_ptr<float>(),
                                   .logsumexp = logsumexp.mutable_data_ptr<float>()});
  return {out, logsumexp};
}

Gradients attention_backward_cpu(const at::Tensor& grad_in, const at::Tensor& q_in,
                                 const at::Tensor& k_in, const at::Tensor& v_in,
                                 const at::Tensor& out, const at::Tensor& logsumexp) {
  const at::Tensor grad = detail::token_rows(grad_in);
  const at::Tensor q = q_in.contiguous(), k = k_in.contiguous(), v = v_in.contiguous();
  at::Tensor grad_q = at::empty_like(q), grad_k = at::empty_like(k), grad_v = at::empty_like(v);
  kernels::cpu::attention_backward(detail::attention_problem(q, k),
                                   {.grad = grad.const_data_ptr<float>(),
                                    .grad_batch_step = grad.stride(0),
                                    .grad_token_step = grad.stride(1),
                                    .q = q.const_data_ptr<float>(),
                                    .k = k.const_data_ptr<float>(),
                                    .v = v.const_data_ptr<float>(),
                                    .out = out.const_data_ptr<float>(),
                                    .logsumexp = logsumexp.const_data_ptr<float>(),
                                    .grad_q = grad_q.mutable_data_ptr<float>(),
                                    .grad_k = grad_k.mutable_data_ptr<float>(),
                                    .grad_v = grad_v.mutable_data_ptr<float>()});
  return {grad_q, grad_k, grad_v};
}

std::tuple<at::Tensor, at::Tensor> attention_redispatch_forward(const at::Tensor& q,
                                                                const at::Tensor& k,
                                                                const at::Tensor& v) {
  static const auto op = detail::find_op<decltype(attention_forward_cpu)>(kAttention);
  return op.redispatch(detail::below_autograd(q), q, k, v);
}

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v) {
    const auto [out, logsumexp] = attention_redispatch_forward(q, k, v);
    ctx->save_for_backward({q, k, v, out, logsumexp});
    ctx->mark_non_differentiable({logsumexp});
    ctx->set_materialize_grads(false);
    return {out, logsumexp};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(attention_backward_cpu)>(kAttentionBackward);
    if (!grads[0].defined()) return {{}, {}, {}};
    const variable_list saved = ctx->get_saved_variables();
    auto [q, k, v] = op.call(grads[0], saved[0], saved[1], saved[2], saved[3], saved[4]);
    return {q, k, v};
  }
};

std::tuple<at::Tensor, at::Tensor> attention_forward_autograd(const at::Tensor& q,
                                                              const at::Tensor& k,
                                                              const at::Tensor& v) {
  if (!detail::needs_gradient({q, k, v})) return attention_redispatch_forward(q, k, v);
  const variable_list out = AttentionFunction::apply(q, k, v);
  return {out[0], out[1]};
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def("attention(Tensor q, Tensor k, Tensor v) -> (Tensor out, Tensor logsumexp)");
  m.def(
      "attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, "
      "Tensor logsumexp) -> (Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("attention", TORCH_FN(attention_forward_cpu));
  m.impl("attention_backward", TORCH_FN(attention_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("attention", TORCH_FN(attention_forward_autograd));
  m.impl("attention_backward", torch::autograd::autogradNotImplementedFallback());
}

TensorList derivative(const KeptCall& call) {
  static const auto op = detail::find_op<decltype(attention_backward_cpu)>(kAttentionBackward);
  auto [q, k, v] = op.call(call.grad, call.inputs[0], call.inputs[1], call.inputs[2],
                           call.results[0], call.results[1]);
  return {q, k, v};
}
constexpr Keepable kKeepable{.tag = kAttentionTag, .num_results = 2, .derivative = derivative};

/// Also on shapes alone: LibTorch would plan for the scores, which none of its fused kernels keeps.
at::Tensor own_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  static const auto op = detail::find_op<decltype(attention_forward_cpu)>(kAttention);
  return kept(
      kKeepable, [&] { return op.call(q, k, v); }, q, k, v);
}

/// Whether a backward follows: now, or after the recompute of the block that runs.
bool training(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return kept_results() != nullptr || detail::needs_gradient({q, k, v});
}

at::Tensor run(AttentionKernel kernel, const at::Tensor& q_in, const at::Tensor& k_in,
               const at::Tensor& v_in) {
  if (kernel == AttentionKernel::kMath) return reference::attention(q_in, k_in, v_in);
  if (kernel == AttentionKernel::kOwn) return own_attention(q_in, k_in, v_in);
  // The strided layout goes in and comes out without a copy.
  const at::Tensor q = q_in.transpose(1, 2), k = k_in.transpose(1, 2), v = v_in.transpose(1, 2);
  const at::Tensor out = kernel == AttentionKernel::kFlash ? flash_attention(q, k, v)
                         : kernel == AttentionKernel::kCudnn
                             ? cudnn_attention(q, k, v, training(q, k, v))
                             : libtorch_attention(q, k, v);
  return out.transpose(1, 2);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  TITAN_CHECK(q.dim() == 4 && k.dim() == 4 && k.sizes() == v.sizes() && q.size(0) == k.size(0) &&
                  q.size(3) == k.size(3) && k.size(1) > 0 && k.size(2) > 0 &&
                  q.size(2) % k.size(2) == 0,
              "[attention] q must be [B, N, H, D_head], k and v [B, M, H_kv, D_head] with H_kv "
              "dividing H (q=",
              q.sizes(), ", k=", k.sizes(), ", v=", v.sizes(), ")");
  if (backend() == Backend::kReference) return reference::attention(q, k, v);
  if (q.is_meta())
    return attention_backend() == AttentionBackend::kMath ? reference::attention(q, k, v)
                                                          : own_attention(q, k, v);
  return run(attention_kernel_for(q, k, v, training(q, k, v), run), q, k, v);
}

}  // namespace titan::ops
