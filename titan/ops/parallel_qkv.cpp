// titan::parallel_qkv: one projection to queries, keys, values and the activated inputs of the
// feed-forward layer beside them.
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/float8_input.h"
#include "titan/ops/stream_qkv.h"
#include "titan/ops/stream_qkv_kernel.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kParallelQkv = "titan::parallel_qkv";
constexpr const char* kParallelQkvBackward = "titan::parallel_qkv_backward";

using Forward = detail::ParallelForward;
using Backward = detail::ParallelBackward;

Forward parallel_qkv_forward_cpu(const at::Tensor& y, const at::Tensor& q_scale,
                                 const at::Tensor& k_scale, const at::Tensor& rope, int64_t heads,
                                 double eps, bool with_inner) {
  return detail::run_parallel_forward<detail::CpuKernels>(y, q_scale, k_scale, rope, heads, eps,
                                                          with_inner);
}

Backward parallel_qkv_backward_cpu(const at::Tensor& grad_q, const at::Tensor& grad_k,
                                   const at::Tensor& grad_v, const at::Tensor& grad_inner,
                                   const at::Tensor& y, const at::Tensor& q_scale,
                                   const at::Tensor& k_scale, const at::Tensor& rope,
                                   const at::Tensor& q_rstd, const at::Tensor& k_rstd) {
  return detail::run_parallel_backward<detail::CpuKernels>(grad_q, grad_k, grad_v, grad_inner, y,
                                                           q_scale, k_scale, rope, q_rstd, k_rstd);
}

Forward parallel_qkv_redispatch_forward(const at::Tensor& y, const at::Tensor& q_scale,
                                        const at::Tensor& k_scale, const at::Tensor& rope,
                                        int64_t heads, double eps, bool with_inner) {
  static const auto op = detail::find_op<decltype(parallel_qkv_forward_cpu)>(kParallelQkv);
  Forward out =
      op.redispatch(detail::below_autograd(y), y, q_scale, k_scale, rope, heads, eps, with_inner);
  if (with_inner) return out;
  const int64_t columns = y.size(2) - 2 * heads * q_scale.size(0);
  std::get<3>(out) = detail::float8_placeholder({y.size(0), y.size(1), columns}, y.options());
  return out;
}

class ParallelQkvFunction : public torch::autograd::Function<ParallelQkvFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& y, const at::Tensor& q_scale,
                               const at::Tensor& k_scale, const at::Tensor& rope, int64_t heads,
                               double eps, bool with_inner) {
    auto [q, k, v, inner, q_rstd, k_rstd] =
        parallel_qkv_redispatch_forward(y, q_scale, k_scale, rope, heads, eps, with_inner);
    ctx->save_for_backward({y, q_scale, k_scale, rope, q_rstd, k_rstd});
    ctx->mark_non_differentiable({q_rstd, k_rstd});
    return {q, k, v, inner, q_rstd, k_rstd};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op =
        detail::find_op<decltype(parallel_qkv_backward_cpu)>(kParallelQkvBackward);
    const variable_list saved = ctx->get_saved_variables();
    auto [y, q_scale, k_scale] = op.call(grads[0], grads[1], grads[2], grads[3], saved[0], saved[1],
                                         saved[2], saved[3], saved[4], saved[5]);
    return {y, q_scale, k_scale, {}, {}, {}, {}};
  }
};

Forward parallel_qkv_forward_autograd(const at::Tensor& y, const at::Tensor& q_scale,
                                      const at::Tensor& k_scale, const at::Tensor& rope,
                                      int64_t heads, double eps, bool with_inner) {
  if (!detail::needs_gradient({y, q_scale, k_scale}))
    return parallel_qkv_redispatch_forward(y, q_scale, k_scale, rope, heads, eps, with_inner);
  const variable_list out =
      ParallelQkvFunction::apply(y, q_scale, k_scale, rope, heads, eps, with_inner);
  return {out[0], out[1], out[2], out[3], out[4], out[5]};
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "parallel_qkv(Tensor y, Tensor q_scale, Tensor k_scale, Tensor rope, int heads, float eps, "
      "bool with_inner) -> (Tensor q, Tensor k, Tensor v, Tensor inner, Tensor q_rstd, Tensor "
      "k_rstd)");
  m.def(
      "parallel_qkv_backward(Tensor grad_q, Tensor grad_k, Tensor grad_v, Tensor grad_inner, "
      "Tensor y, Tensor q_scale, Tensor k_scale, Tensor rope, Tensor q_rstd, Tensor k_rstd) -> "
      "(Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("parallel_qkv", TORCH_FN(parallel_qkv_forward_cpu));
  m.impl("parallel_qkv_backward", TORCH_FN(parallel_qkv_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("parallel_qkv", TORCH_FN(parallel_qkv_forward_autograd));
  m.impl("parallel_qkv_backward", torch::autograd::autogradNotImplementedFallback());
}

/// The gradient of `inner` passes through whole: parallel_qkv's backward does not look at the
/// columns that were not its own.
class PlaceFunction : public torch::autograd::Function<PlaceFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& inner,
                            const at::Tensor& attended) {
    ctx->saved_data["width"] = attended.size(2);
    at::Tensor placed = inner.variable_data();  // the same storage, a new node of the graph
    placed.narrow(2, 0, attended.size(2)).copy_(attended);
    return placed;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0], grads[0].narrow(2, 0, ctx->saved_data["width"].toInt())};
  }
};

}  // namespace

bool has_parallel_heads(const at::Tensor& y) { return use_fused(y, kParallelQkv); }

ParallelHeads parallel_heads(const at::Tensor& y, const at::Tensor& q_scale,
                             const at::Tensor& k_scale, const StreamAttention& options,
                             Inner wanted) {
  static const auto op = detail::find_op<decltype(parallel_qkv_forward_cpu)>(kParallelQkv);
  auto [q, k, v, inner, q_rstd, k_rstd] = op.call(y, q_scale, k_scale, options.rope, options.heads,
                                                  options.eps, wanted == Inner::kComputed);
  return {{q, k, v}, inner};
}

at::Tensor place_attended(const at::Tensor& inner, const at::Tensor& attended) {
  return PlaceFunction::apply(inner, attended);
}

}  // namespace titan::ops
