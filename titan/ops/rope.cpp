#include "titan/ops/rope.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/ops/backend.h"
#include "titan/ops/elementwise_kernel.h"
#include "titan/ops/reference.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kSchema = "titan::rope";

at::Tensor rope_cpu(const at::Tensor& x, const at::Tensor& table, bool inverse) {
  return detail::run_rope(kernels::cpu::rope, x, table, inverse);
}

at::Tensor redispatch(const at::Tensor& x, const at::Tensor& table, bool inverse) {
  static const auto op = detail::find_op<decltype(rope_cpu)>(kSchema);
  return op.redispatch(detail::below_autograd(x), x, table, inverse);
}

/// A rotation is orthogonal: its backward is the inverse rotation.
class RopeFunction : public torch::autograd::Function<RopeFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& table,
                            bool inverse) {
    ctx->save_for_backward({table});
    ctx->saved_data["inverse"] = inverse;
    return redispatch(x, table, inverse);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op = detail::find_op<decltype(rope_cpu)>(kSchema);
    return {op.call(grads[0], ctx->get_saved_variables()[0], !ctx->saved_data["inverse"].toBool()),
            {},
            {}};
  }
};

at::Tensor rope_autograd(const at::Tensor& x, const at::Tensor& table, bool inverse) {
  return detail::needs_gradient({x}) ? RopeFunction::apply(x, table, inverse)
                                     : redispatch(x, table, inverse);
}

TORCH_LIBRARY_FRAGMENT(titan, m) { m.def("rope(Tensor x, Tensor table, bool inverse) -> Tensor"); }
TORCH_LIBRARY_IMPL(titan, CPU, m) { m.impl("rope", TORCH_FN(rope_cpu)); }
TORCH_LIBRARY_IMPL(titan, Autograd, m) { m.impl("rope", TORCH_FN(rope_autograd)); }

}  // namespace

at::Tensor rope(const at::Tensor& x, const at::Tensor& table) {
  TITAN_CHECK(x.dim() == 4 && x.size(3) % 2 == 0,
              "[rope] x must be [B, N, H, D_head], D_head even (x=", x.sizes(), ")");
  TITAN_CHECK(table.dim() == 3 && table.size(0) == x.size(1) && 2 * table.size(1) == x.size(3) &&
                  table.size(2) == 2,
              "[rope] table must be [N, D_head / 2, 2] (table=", table.sizes(), ", x=", x.sizes(),
              ")");
  if (!use_fused(x, kSchema)) return reference::rope(x, table);
  TITAN_CHECK(table.scalar_type() == at::kFloat, "[rope] the table must be float32");
  static const auto op = detail::find_op<decltype(rope_cpu)>(kSchema);
  return op.call(x, table, /*inverse=*/false);
}

}  // namespace titan::ops
