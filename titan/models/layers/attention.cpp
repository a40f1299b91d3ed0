#include "titan/models/layers/attention.h"

#include <ATen/ATen.h>

#include "titan/models/layers/layer_inputs.h"
#include "titan/ops/attention.h"
#include "titan/ops/rope.h"

namespace titan::models {

SelfAttention::SelfAttention(int64_t dim, int64_t heads, int64_t kv_heads,
                             const at::TensorOptions& options)
    : head_dim_(dim / heads) {
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, std::make_shared<Linear>(in, out, Linear::Bias::kNo, options));
  };
  wq_ = linear("wq", dim, dim);
  wk_ = linear("wk", dim, kv_heads * head_dim_);
  wv_ = linear("wv", dim, kv_heads * head_dim_);
  wo_ = linear("wo", dim, dim);
}

at::Tensor SelfAttention::forward(const LinearInput& in, const at::Tensor& rope) const {
  const LinearInput x = input_for(readers(), in);
  const auto heads = [&](const Linear& linear) {
    return linear.forward(x).unflatten(-1, {-1, head_dim_});
  };
  const at::Tensor q = ops::rope(heads(*wq_), rope);
  const at::Tensor k = ops::rope(heads(*wk_), rope);
  return wo_->forward(ops::attention(q, k, heads(*wv_)).flatten(2));
}

}  // namespace titan::models
