#include "titan/optim/grad_norm.h"

#include <ATen/core/grad_mode.h>

#include "titan/base/check.h"
#include "titan/ops/adamw.h"

namespace titan::optim {
at::Tensor global_grad_norm(const std::vector<parallel::FlatUnit>& units, const ReduceSum& reduce) {
  const at::NoGradGuard no_grad;
  TITAN_CHECK(!units.empty(), "[grad_norm] needs at least one unit");
  std::vector<at::Tensor> gradients;
  for (const parallel::FlatUnit& unit : units) gradients.push_back(unit.grad);
  const at::Tensor total = ops::sum_squares(gradients);
  if (reduce) reduce(total);
  return total.sqrt_().to(at::kFloat);
}

at::Tensor clip_coefficient(const at::Tensor& norm, double max_norm) {
  TITAN_CHECK(max_norm > 0, "[grad_norm] max_norm is above 0 (", max_norm, ")");
  return (norm + 1e-6).reciprocal_().mul_(max_norm).clamp_max_(1.0);
}

}  // namespace titan::optim
