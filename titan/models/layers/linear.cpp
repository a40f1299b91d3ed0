#include "titan/models/layers/linear.h"

#include <ATen/ops/empty.h>

#include "titan/base/check.h"
#include "titan/models/layers/float8_layer.h"
#include "titan/ops/float8_input.h"
#include "titan/ops/linear.h"

namespace titan::models {

LinearInput::LinearInput(const ops::Float8Input& x)
    : rounded_(std::make_shared<const ops::Float8Input>(x)) {}

const at::Tensor& LinearInput::tensor() const {
  TITAN_CHECK(!is_rounded(),
              "[model] this input was rounded to 8 bits for the layers that read it");
  return tensor_;
}

const ops::Float8Input& LinearInput::rounded() const {
  TITAN_CHECK(is_rounded(), "[model] this input was not rounded to 8 bits");
  return *rounded_;
}

Linear::Linear(int64_t in_features, int64_t out_features, Bias with_bias,
               const at::TensorOptions& options) {
  weight = register_parameter("weight", at::empty({out_features, in_features}, options));
  if (with_bias == Bias::kYes)
    bias = register_parameter("bias", at::empty({out_features}, options));
}

at::Tensor Linear::forward(const LinearInput& x) const {
  if (float8) return float8_forward(*float8, x, weight, bias);
  return ops::linear(x.tensor(), weight, bias);
}

}  // namespace titan::models
