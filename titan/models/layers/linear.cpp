#include "titan/models/layers/linear.h"

#include <ATen/ops/empty.h>

#include "titan/models/layers/float8_layer.h"
#include "titan/ops/linear.h"

namespace titan::models {

Linear::Linear(int64_t in_features, int64_t out_features, Bias with_bias,
               const at::TensorOptions& options) {
  weight = register_parameter("weight", at::empty({out_features, in_features}, options));
  if (with_bias == Bias::kYes)
    bias = register_parameter("bias", at::empty({out_features}, options));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  if (float8) return float8_forward(*float8, x, weight, bias);
  return ops::linear(x, weight, bias);
}

}  // namespace titan::models
