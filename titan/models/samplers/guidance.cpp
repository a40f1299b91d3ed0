#include "titan/models/samplers/guidance.h"

#include <ATen/ops/full.h>

#include "titan/base/check.h"

namespace titan::samplers {

at::Tensor guided_prediction(const DenoiseFunction& denoise, const at::Tensor& x, double time,
                             const Conditioning& condition, const Conditioning& null_condition,
                             double guidance) {
  const at::Tensor t = at::full({x.size(0)}, time, x.options().dtype(at::kFloat));
  const at::Tensor conditional = denoise(x, t, condition).to(at::kFloat);
  TITAN_CHECK(conditional.sizes() == x.sizes(),
              "[sampler] a prediction has the shape of its input (", conditional.sizes(), ", ",
              x.sizes(), ")");
  if (guidance == 1.0) return conditional;
  const at::Tensor null = denoise(x, t, null_condition).to(at::kFloat);
  return null + guidance * (conditional - null);
}

}  // namespace titan::samplers
