// titan::float8_normed: modulate_norm whose result is rounded to 8 bits.
#include <tuple>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/float8_fused.h"
#include "titan/ops/float8_kernel.h"
#include "titan/ops/modulate_norm_kernel.h"
#include "titan/ops/modulate_norm_parts.h"

namespace titan::ops {
namespace {

using detail::Float8Normed;
using detail::OptionalTensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kFloat8Normed = "titan::float8_normed";

/// The kernels one after the other: a CPU rounds what lies in its cache.
Float8Normed float8_normed_cpu(const at::Tensor& x_in, const OptionalTensor& branch,
                               const OptionalTensor& gate, const OptionalTensor& weight,
                               const OptionalTensor& bias, const OptionalTensor& scale,
                               const OptionalTensor& shift, double eps, bool rms, bool rowwise,
                               bool by_column) {
  auto [h, y, mean, rstd] =
      detail::run_norm_forward(kernels::cpu::modulate_norm_forward, x_in.contiguous(), branch,
                               {weight, bias, scale, shift, gate}, eps, rms);
  return std::tuple_cat(
      std::make_tuple(h, mean, rstd),
      detail::float8_quantize_cpu(y, {.rowwise = rowwise, .by_column = by_column}));
}

/// NormArguments of modulate_norm, checked.
struct NormArguments {
  at::Tensor x, branch, gate;
  const Norm& norm;
  Modulation rows;

  NormArguments(const at::Tensor& x_in, const at::Tensor& branch_in, const at::Tensor& gate_in,
                const Norm& norm_in, const Modulation& modulation)
      : x(x_in), branch(branch_in), norm(norm_in) {
    detail::check_norm(x, norm);
    if (branch.defined()) detail::check_branch(x, branch);
    rows = {.scale = detail::sample_rows(modulation.scale, x, "scale"),
            .shift = detail::sample_rows(modulation.shift, x, "shift")};
    gate = detail::sample_rows(gate_in, x, "gate");
  }
};

Float8Normed float8_normed_op(const NormArguments& in, const Float8Rounding& rounding) {
  static const auto op = detail::find_op<decltype(float8_normed_cpu)>(kFloat8Normed);
  using detail::optional;
  const bool by_column = detail::float8_by_column(rounding);
  const at::NoGradGuard no_grad;
  return op.call(in.x, optional(in.branch), optional(in.gate), optional(in.norm.weight),
                 optional(in.norm.bias), optional(in.rows.scale), optional(in.rows.shift),
                 in.norm.eps, in.norm.rms, rounding.rowwise, by_column);
}

/// Outputs: [h,] and what stands for y.
class Float8NormedFunction : public torch::autograd::Function<Float8NormedFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x,
                               const OptionalTensor& branch, const OptionalTensor& gate,
                               const OptionalTensor& weight, const OptionalTensor& bias,
                               const OptionalTensor& scale, const OptionalTensor& shift, bool rms,
                               const Float8Normed& made) {
    const at::Tensor &h = std::get<0>(made), &mean = std::get<1>(made), &rstd = std::get<2>(made);
    ctx->set_materialize_grads(false);
    ctx->saved_data["rms"] = rms;
    ctx->save_for_backward({branch.has_value() ? h : x, detail::value(branch), detail::value(gate),
                            detail::value(weight), detail::value(bias), detail::value(scale),
                            detail::value(shift), mean, rstd});
    const at::Tensor values = detail::float8_placeholder(x.sizes(), x.options());
    if (branch.has_value()) return {h, values};
    return {values};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor grad_h = grads.size() == 2 ? grads[0] : at::Tensor();
    variable_list gradients = detail::modulate_norm_gradients(grads.back(), grad_h, saved,
                                                              ctx->saved_data["rms"].toBool());
    gradients.resize(9);
    return gradients;
  }
};

Float8ResidualNorm float8_normed(const NormArguments& in, const Float8Rounding& rounding) {
  const Float8Normed made = float8_normed_op(in, rounding);
  Float8ResidualNorm out;
  out.h = std::get<0>(made);
  out.y.copies = {std::get<3>(made), std::get<4>(made), std::get<5>(made), std::get<6>(made)};
  out.y.rowwise = rounding.rowwise;
  const Norm& norm = in.norm;
  if (!detail::needs_gradient(
          {in.x, in.branch, in.gate, norm.weight, norm.bias, in.rows.scale, in.rows.shift})) {
    out.y.values = detail::float8_placeholder(in.x.sizes(), in.x.options());
    return out;
  }
  using detail::optional;
  const variable_list recorded = Float8NormedFunction::apply(
      in.x, optional(in.branch), optional(in.gate), optional(norm.weight), optional(norm.bias),
      optional(in.rows.scale), optional(in.rows.shift), norm.rms, made);
  if (in.branch.defined()) out.h = recorded.front();
  out.y.values = recorded.back();
  return out;
}

bool float8_norm_fused(const at::Tensor& x) { return x.numel() > 0 && use_fused(x, kFloat8Normed); }

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "float8_normed(Tensor x, Tensor? branch, Tensor? gate, Tensor? weight, Tensor? bias, Tensor? "
      "scale, Tensor? shift, float eps, bool rms, bool rowwise, bool by_column) -> (Tensor h, "
      "Tensor mean, Tensor rstd, Tensor, Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) { m.impl("float8_normed", TORCH_FN(float8_normed_cpu)); }
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("float8_normed", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

Float8Input float8_modulate_norm(const at::Tensor& x, const Norm& norm,
                                 const Modulation& modulation, const Float8Rounding& rounding) {
  if (!float8_norm_fused(x)) return float8_input(modulate_norm(x, norm, modulation), rounding);
  return float8_normed({x, {}, {}, norm, modulation}, rounding).y;
}

Float8ResidualNorm float8_residual_modulate_norm(const at::Tensor& x, const at::Tensor& branch,
                                                 const at::Tensor& gate, const Norm& norm,
                                                 const Modulation& modulation,
                                                 const Float8Rounding& rounding) {
  if (!float8_norm_fused(x)) {
    const auto [h, y] = residual_modulate_norm(x, branch, gate, norm, modulation);
    return {h, float8_input(y, rounding)};
  }
  return float8_normed({x, branch, gate, norm, modulation}, rounding);
}

}  // namespace titan::ops
