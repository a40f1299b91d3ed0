#include "titan/ops/modulate_norm.h"

#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/modulate_norm_kernel.h"
#include "titan/ops/modulate_norm_parts.h"
#include "titan/ops/reference.h"

namespace titan::ops {
namespace {

using detail::NormBackwardResult;
using detail::NormForwardResult;
using detail::OptionalTensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kModulateNorm = "titan::modulate_norm";
constexpr const char* kModulateNormBackward = "titan::modulate_norm_backward";

NormForwardResult modulate_norm_forward_cpu(const at::Tensor& x, const OptionalTensor& branch,
                                            const OptionalTensor& gate,
                                            const OptionalTensor& weight,
                                            const OptionalTensor& bias, const OptionalTensor& scale,
                                            const OptionalTensor& shift, double eps, bool rms) {
  return detail::run_norm_forward(kernels::cpu::modulate_norm_forward, x.contiguous(), branch,
                                  {weight, bias, scale, shift, gate}, eps, rms);
}

NormBackwardResult modulate_norm_backward_cpu(
    const at::Tensor& grad_y, const OptionalTensor& grad_h, const at::Tensor& h,
    const OptionalTensor& branch, const OptionalTensor& gate, const OptionalTensor& weight,
    const OptionalTensor& bias, const OptionalTensor& scale, const OptionalTensor& shift,
    const at::Tensor& mean, const at::Tensor& rstd, bool rms) {
  return detail::run_norm_backward(kernels::cpu::modulate_norm_backward, grad_y, grad_h, h, branch,
                                   gate, weight, bias, scale, shift, mean, rstd, rms);
}

NormForwardResult modulate_norm_redispatch_forward(
    const at::Tensor& x, const OptionalTensor& branch, const OptionalTensor& gate,
    const OptionalTensor& weight, const OptionalTensor& bias, const OptionalTensor& scale,
    const OptionalTensor& shift, double eps, bool rms) {
  static const auto op = detail::find_op<decltype(modulate_norm_forward_cpu)>(kModulateNorm);
  return op.redispatch(detail::below_autograd(x), x, branch, gate, weight, bias, scale, shift, eps,
                       rms);
}

class ModulateNormFunction : public torch::autograd::Function<ModulateNormFunction> {
 public:
  // Outputs: [h,] y, mean, rstd.
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x,
                               const OptionalTensor& branch, const OptionalTensor& gate,
                               const OptionalTensor& weight, const OptionalTensor& bias,
                               const OptionalTensor& scale, const OptionalTensor& shift, double eps,
                               bool rms) {
    auto [h, y, mean, rstd] =
        modulate_norm_redispatch_forward(x, branch, gate, weight, bias, scale, shift, eps, rms);
    ctx->set_materialize_grads(false);
    ctx->saved_data["rms"] = rms;
    ctx->save_for_backward({branch.has_value() ? h : x, detail::value(branch), detail::value(gate),
                            detail::value(weight), detail::value(bias), detail::value(scale),
                            detail::value(shift), mean, rstd});
    ctx->mark_non_differentiable({mean, rstd});
    if (branch.has_value()) return {h, y, mean, rstd};
    return {y, mean, rstd};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const bool residual = saved[1].defined();
    variable_list gradients = detail::modulate_norm_gradients(
        residual ? grads[1] : grads[0], residual ? grads[0] : at::Tensor(), saved,
        ctx->saved_data["rms"].toBool());
    gradients.resize(9);
    return gradients;
  }
};

NormForwardResult modulate_norm_forward_autograd(
    const at::Tensor& x, const OptionalTensor& branch, const OptionalTensor& gate,
    const OptionalTensor& weight, const OptionalTensor& bias, const OptionalTensor& scale,
    const OptionalTensor& shift, double eps, bool rms) {
  if (!detail::needs_gradient({x, detail::value(branch), detail::value(gate), detail::value(weight),
                               detail::value(bias), detail::value(scale), detail::value(shift)})) {
    return modulate_norm_redispatch_forward(x, branch, gate, weight, bias, scale, shift, eps, rms);
  }
  const variable_list out =
      ModulateNormFunction::apply(x, branch, gate, weight, bias, scale, shift, eps, rms);
  if (branch.has_value()) return {out[0], out[1], out[2], out[3]};
  return {at::Tensor(), out[0], out[1], out[2]};
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "modulate_norm(Tensor x, Tensor? branch, Tensor? gate, Tensor? weight, Tensor? bias, Tensor? "
      "scale, Tensor? shift, "
      "float eps, bool rms) -> (Tensor h, Tensor y, Tensor mean, Tensor rstd)");
  m.def(
      "modulate_norm_backward(Tensor grad_y, Tensor? grad_h, Tensor h, Tensor? branch, Tensor? "
      "gate, Tensor? weight, "
      "Tensor? bias, Tensor? scale, Tensor? shift, Tensor mean, Tensor rstd, bool rms) -> "
      "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("modulate_norm", TORCH_FN(modulate_norm_forward_cpu));
  m.impl("modulate_norm_backward", TORCH_FN(modulate_norm_backward_cpu));
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("modulate_norm", TORCH_FN(modulate_norm_forward_autograd));
  m.impl("modulate_norm_backward", torch::autograd::autogradNotImplementedFallback());
}

NormForwardResult call_op(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate,
                          const Norm& norm, const Modulation& modulation) {
  static const auto op = detail::find_op<decltype(modulate_norm_forward_cpu)>(kModulateNorm);
  using detail::optional;
  return op.call(x, optional(branch), optional(gate), optional(norm.weight), optional(norm.bias),
                 optional(modulation.scale), optional(modulation.shift), norm.eps, norm.rms);
}

}  // namespace

at::Tensor detail::sample_rows(const at::Tensor& rows, const at::Tensor& x, const char* name) {
  if (!rows.defined()) return rows;
  const at::Tensor flat = rows.dim() == 3 && rows.size(1) == 1 ? rows.squeeze(1) : rows;
  TITAN_CHECK(flat.dim() == 2 && flat.size(0) == x.size(0) && flat.size(1) == x.size(2),
              "[modulate_norm] ", name, " must be [B, D] (", name, "=", rows.sizes(),
              ", x=", x.sizes(), ")");
  return flat;
}

void detail::check_norm(const at::Tensor& x, const Norm& norm) {
  TITAN_CHECK(x.dim() == 3, "[modulate_norm] x must be [B, N, D] (x=", x.sizes(), ")");
  for (const at::Tensor* affine : {&norm.weight, &norm.bias}) {
    TITAN_CHECK(!affine->defined() || (affine->dim() == 1 && affine->size(0) == x.size(2)),
                "[modulate_norm] weight and bias must be [D] (got ", affine->sizes(),
                ", x=", x.sizes(), ")");
  }
}

void detail::check_branch(const at::Tensor& x, const at::Tensor& branch) {
  TITAN_CHECK(branch.sizes() == x.sizes(),
              "[modulate_norm] branch must have x's shape (branch=", branch.sizes(),
              ", x=", x.sizes(), ")");
}

std::vector<at::Tensor> detail::modulate_norm_gradients(at::Tensor grad_y, const at::Tensor& grad_h,
                                                        const NormSaved& saved, bool rms) {
  static const auto op = find_op<decltype(modulate_norm_backward_cpu)>(kModulateNormBackward);
  if (!grad_y.defined()) grad_y = at::zeros_like(saved[0]);
  const auto maybe = [&](std::size_t i) { return optional(saved[i]); };
  auto [x, branch, gate, weight, bias, scale, shift] =
      op.call(grad_y, optional(grad_h), saved[0], maybe(1), maybe(2), maybe(3), maybe(4), maybe(5),
              maybe(6), saved[7], saved[8], rms);
  return {x, branch, gate, weight, bias, scale, shift};
}

at::Tensor modulate_norm(const at::Tensor& x, const Norm& norm, const Modulation& modulation) {
  detail::check_norm(x, norm);
  const Modulation rows{detail::sample_rows(modulation.scale, x, "scale"),
                        detail::sample_rows(modulation.shift, x, "shift")};
  if (!use_fused(x, kModulateNorm)) return reference::modulate_norm(x, norm, rows);
  return std::get<1>(call_op(x, {}, {}, norm, rows));
}

ResidualNorm residual_modulate_norm(const at::Tensor& x, const at::Tensor& branch,
                                    const at::Tensor& gate, const Norm& norm,
                                    const Modulation& modulation) {
  detail::check_norm(x, norm);
  detail::check_branch(x, branch);
  const Modulation rows{detail::sample_rows(modulation.scale, x, "scale"),
                        detail::sample_rows(modulation.shift, x, "shift")};
  const at::Tensor gate_rows = detail::sample_rows(gate, x, "gate");
  if (!use_fused(x, kModulateNorm))
    return reference::residual_modulate_norm(x, branch, gate_rows, norm, rows);
  auto [h, y, mean, rstd] = call_op(x, branch, gate_rows, norm, rows);
  return {h, y};
}

}  // namespace titan::ops
