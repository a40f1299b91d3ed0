#include "titan/models/layers/norm.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "titan/base/check.h"

namespace titan::models {

const std::vector<std::string>& norm_names() {
  static const std::vector<std::string> names = {"layernorm", "np_layernorm", "np_layernorm_bias",
                                                 "rmsnorm", "fused_rmsnorm"};
  return names;
}

int64_t norm_parameter_count(const std::string& name, int64_t dim) {
  if (name == "np_layernorm") return 0;
  return name == "np_layernorm_bias" ? 2 * dim : dim;
}

NormLayer::NormLayer(const std::string& name, int64_t dim, double eps,
                     const at::TensorOptions& options)
    : rms_(name == "rmsnorm" || name == "fused_rmsnorm"), eps_(eps) {
  TITAN_CHECK(std::find(norm_names().begin(), norm_names().end(), name) != norm_names().end(),
              "[model] unknown norm_type (norm_type=", name, ")");
  if (name != "np_layernorm") weight_ = register_parameter("weight", at::empty({dim}, options));
  if (name == "np_layernorm_bias") bias_ = register_parameter("bias", at::empty({dim}, options));
}

}  // namespace titan::models
