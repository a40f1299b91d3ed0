// norm.h: the choice of normalisation, as a module that owns the affine parameters; the arithmetic
// is ops::modulate_norm.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "titan/ops/modulate_norm.h"

namespace titan::models {

/// Names that NormLayer knows: layernorm (weight, no bias), np_layernorm (no parameters),
/// np_layernorm_bias (weight and bias, despite its published name), rmsnorm, fused_rmsnorm (the
/// same).
const std::vector<std::string>& norm_names();
/// Parameters of one such norm of width dim.
int64_t norm_parameter_count(const std::string& name, int64_t dim);

/// A norm's parameters, by the name of its kind.
class NormLayer : public torch::nn::Module {
 public:
  /// Throws titan::Error for an unknown name.
  NormLayer(const std::string& name, int64_t dim, double eps, const at::TensorOptions& options);
  /// What the ops take.
  ops::Norm norm() const { return {.rms = rms_, .eps = eps_, .weight = weight_, .bias = bias_}; }

 private:
  bool rms_;
  double eps_;
  at::Tensor weight_;
  at::Tensor bias_;
};

}  // namespace titan::models
