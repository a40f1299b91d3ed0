// layers: parts that several models share. Modules register their parameters under the published
// names and allocate them without filling them; Model::initialize does that.
//
// linear.h: y = x W^T + b.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/models/layers/linear_input.h"

namespace titan::models {

struct Float8Layer;

/// A linear map with parameters "weight" [out, in] and, if asked for, "bias" [out]. Unlike
/// torch::nn::Linear it takes TensorOptions (the meta device costs no memory) and draws no random
/// numbers when built.
class Linear : public torch::nn::Module {
 public:
  /// Whether there is one.
  enum class Bias { kNo, kYes };
  /// Allocates the parameters.
  Linear(int64_t in_features, int64_t out_features, Bias bias, const at::TensorOptions& options);
  /// [..., in] to [..., out]. Throws titan::Error where x has been rounded to 8 bits and this layer
  /// does not multiply such.
  at::Tensor forward(const LinearInput& x) const;

  at::Tensor weight;                    ///< [out, in]
  at::Tensor bias;                      ///< undefined without a bias
  std::shared_ptr<Float8Layer> float8;  ///< null: products in the parameters' dtype
};

/// A module that only holds others, for a dot in a name.
class Container : public torch::nn::Module {};

}  // namespace titan::models
