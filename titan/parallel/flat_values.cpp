#include "titan/parallel/flat_values.h"

#include <ATen/core/grad_mode.h>

namespace titan::parallel {

int64_t FlatValues::nbytes() const {
  return numel() * static_cast<int64_t>(c10::elementSize(dtype()));
}

FlatValues FlatValues::narrow(int64_t start, int64_t length) const {
  return {stored.narrow(0, start, length),
          remainder.defined() ? remainder.narrow(0, start, length) : at::Tensor()};
}

// In integers, modulo 2^32: the upper half counts 2^16 and the lower one is signed, as it was
// rounded.
at::Tensor FlatValues::values() const {
  if (!remainder.defined()) return stored;
  const at::NoGradGuard no_grad;
  return stored.view(at::kShort).to(at::kInt).mul_(1 << 16).add_(remainder).view(at::kFloat);
}

void FlatValues::assign(const at::Tensor& values) const {
  const at::NoGradGuard no_grad;
  if (!remainder.defined()) {
    stored.copy_(values);
    return;
  }
  const at::Tensor bits = values.to(stored.device(), at::kFloat).contiguous().view(at::kInt);
  stored.view(at::kShort).copy_(bits.add(1 << 15).bitwise_right_shift_(16));
  remainder.copy_(bits);
}

}  // namespace titan::parallel
