// titan::joint_qkv: two streams' projections to joint queries, keys and values.
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/stream_qkv.h"
#include "titan/ops/stream_qkv_kernel.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kJointQkv = "titan::joint_qkv";
constexpr const char* kJointQkvBackward = "titan::joint_qkv_backward";

using Forward = detail::JointForward;
using Backward = detail::JointBackward;

Forward joint_qkv_forward_cpu(const at::Tensor& txt, const at::Tensor& txt_q,
                              const at::Tensor& txt_k, const at::Tensor& img,
                              const at::Tensor& img_q, const at::Tensor& img_k,
                              const at::Tensor& rope, int64_t heads, double eps) {
  return detail::run_joint_forward<detail::CpuKernels>(txt, txt_q, txt_k, img, img_q, img_k, rope,
                                                       heads, eps);
}

Backward joint_qkv_backward_cpu(const at::Tensor& grad_q, const at::Tensor& grad_k,
                                const at::Tensor& grad_v, const at::Tensor& txt,
                                const at::Tensor& txt_q, const at::Tensor& txt_k,
                                const at::Tensor& img, const at::Tensor& img_q,
                                const at::Tensor& img_k, const at::Tensor& rope,
                                const at::Tensor& q_rstd, const at::Tensor& k_rstd) {
  return detail::run_joint_backward<detail::CpuKernels>(grad_q, grad_k, grad_v, txt, txt_q, txt_k,
                                                        img, img_q, img_k, rope, q_rstd, k_rstd);
}

Forward joint_qkv_redispatch_forward(const at::Tensor& txt, const at::Tensor& txt_q,
                                     const at::Tensor& txt_k, const at::Tensor& img,
                                     const at::Tensor& img_q, const at::Tensor& img_k,
                                     const at::Tensor& rope, int64_t heads, double eps) {
  static const auto op = detail::find_op<decltype(joint_qkv_forward_cpu)>(kJointQkv);
  return op.redispatch(detail::below_autograd(txt), txt, txt_q, txt_k, img, img_q, img_k, rope,
                       heads, eps);
}

class JointQkvFunction : public torch::autograd::Function<JointQkvFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& txt, const at::Tensor& txt_q,
                               const at::Tensor& txt_k, const at::Tensor& img,
                               const at::Tensor& img_q, const at::Tensor& img_k,
                               const at::Tensor& rope, int64_t heads, double eps) {
    auto [q, k, v, q_rstd, k_rstd] =
        joint_qkv_redispatch_forward(txt, txt_q, txt_k, img, img_q, img_k, rope, heads, eps);
    ctx->save_for_backward({txt, txt_q, txt_k, img, img_q, img_k, rope, q_rstd, k_rstd});
    ctx->mark_non_differentiable({q_rstd, k_rstd});
    return {q, k, v, q_rstd, k_rstd};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(joint_qkv_backward_cpu)>(kJointQkvBackward);
    const variable_list saved = ctx->get_saved_variables();
    auto [txt, txt_q, txt_k, img, img_q, img_k] =
        op.call(grads[0], grads[1], grads[2], saved[0], saved[1], saved[2], saved[3], saved[4],
                saved[5], saved[6], saved[7], saved[8]);
    return {txt, txt_q, txt_k, img, img_q, img_k, {}, {}, {}};
  }
};

Forward joint_qkv_forward_autograd(const at::Tensor& txt, const at::Tensor& txt_q,
                                   const at::Tensor& txt_k, const at::Tensor& img,
                                   const at::Tensor& img_q, const at::Tensor& img_k,
                                   const at::Tensor& rope, int64_t heads, double eps) {
  if (!detail::needs_gradient({txt, txt_q, txt_k, img, img_q, img_k}))
    return joint_qkv_redispatch_forward(txt, txt_q, txt_k, img, img_q, img_k, rope, heads, eps);
  const variable_list out =
      JointQkvFunction::apply(txt, txt_q, txt_k, img, img_q, img_k, rope, heads, eps);
  return {out[0], out[1], out[2], out[3], out[4]};
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "joint_qkv(Tensor txt, Tensor txt_q, Tensor txt_k, Tensor img, Tensor img_q, Tensor img_k, "
      "Tensor rope, int heads, float eps) -> (Tensor q, Tensor k, Tensor v, Tensor q_rstd, Tensor "
      "k_rstd)");
  m.def(
      "joint_qkv_backward(Tensor grad_q, Tensor grad_k, Tensor grad_v, Tensor txt, Tensor txt_q, "
      "Tensor txt_k, Tensor img, Tensor img_q, Tensor img_k, Tensor rope, Tensor q_rstd, Tensor "
      "k_rstd) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("joint_qkv", TORCH_FN(joint_qkv_forward_cpu));
  m.impl("joint_qkv_backward", TORCH_FN(joint_qkv_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("joint_qkv", TORCH_FN(joint_qkv_forward_autograd));
  m.impl("joint_qkv_backward", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

Heads joint_heads(const StreamQkv& txt, const StreamQkv& img, const StreamAttention& options) {
  if (use_fused(txt.qkv, kJointQkv) && txt.qkv.scalar_type() == img.qkv.scalar_type()) {
    static const auto op = detail::find_op<decltype(joint_qkv_forward_cpu)>(kJointQkv);
    auto [q, k, v, q_rstd, k_rstd] =
        op.call(txt.qkv, txt.q_scale, txt.k_scale, img.qkv, img.q_scale, img.k_scale, options.rope,
                options.heads, options.eps);
    return {q, k, v};
  }
  const int64_t txt_tokens = txt.qkv.size(1);
  const Heads t = separate_heads(txt.qkv, txt.q_scale, txt.k_scale, options,
                                 options.rope.narrow(0, 0, txt_tokens));
  const Heads i = separate_heads(img.qkv, img.q_scale, img.k_scale, options,
                                 options.rope.narrow(0, txt_tokens, img.qkv.size(1)));
  return {at::cat({t.q, i.q}, 1), at::cat({t.k, i.k}, 1), at::cat({t.v, i.v}, 1)};
}

}  // namespace titan::ops
