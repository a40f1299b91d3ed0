#include "titan/models/layers/feed_forward.h"

#include <ATen/ATen.h>

#include "titan/models/layers/layer_inputs.h"

namespace titan::models {

int64_t swiglu_hidden(int64_t dim, int64_t multiple_of, std::optional<double> multiplier) {
  int64_t hidden = 2 * 4 * dim / 3;
  if (multiplier.has_value())
    hidden = static_cast<int64_t>(*multiplier * static_cast<double>(hidden));
  return (hidden + multiple_of - 1) / multiple_of * multiple_of;
}

FeedForward::FeedForward(int64_t dim, int64_t hidden, const at::TensorOptions& options) {
  w1_ = register_module("w1", std::make_shared<Linear>(dim, hidden, Linear::Bias::kNo, options));
  w2_ = register_module("w2", std::make_shared<Linear>(hidden, dim, Linear::Bias::kNo, options));
  w3_ = register_module("w3", std::make_shared<Linear>(dim, hidden, Linear::Bias::kNo, options));
}

at::Tensor FeedForward::forward(const LinearInput& in) const {
  const LinearInput x = input_for(readers(), in);
  const at::Tensor a = w1_->forward(x), b = w3_->forward(x);
  return w2_->forward(swiglu_for(*w2_, a, b));
}

}  // namespace titan::models
