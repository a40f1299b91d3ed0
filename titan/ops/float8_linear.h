// float8_linear.h: a linear layer whose three products are in 8-bit floating point.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "titan/ops/float8_input.h"

namespace titan::ops {

struct Float8Options {
  bool rowwise = false;  ///< a scale for each row of a product's operands; else one for a tensor
  at::ScalarType grad_dtype = at::kFloat8_e5m2;  ///< of gradients; the rest is float8_e4m3fn
  bool emulate = false;                          ///< multiply in float32
};

/// A parameter's 8-bit copies, kept until it changes: micro-batches, recompute and evaluation round
/// it once. A change is what LibTorch's version counter of the parameter says; the parallel engine
/// raises it when it fills a unit with new weights (UnitStorage::contents_changed). Not for
/// parameters that are gathered for each use: the copies would outlive what was gathered.
class Float8Weights {
 public:
  /// The copies wanted of `weight`, made now where there are none of its present value.
  const Float8Copies& of(const at::Tensor& weight, bool rowwise, Float8Wanted wanted);
  void forget();

 private:
  Float8Copies copies_;
  std::int64_t version_ = -1;
  bool rowwise_ = false;
};

/// x W^T + bias of x [..., in], W [out, in], bias [out] or undefined, in x's dtype (float32 or
/// bfloat16). x has been rounded; W is rounded to float8_e4m3fn, in backward dy to grad_dtype; sums
/// in float32. Backward keeps the transposed copies of x and W, and neither x nor W; the bias'
/// gradient is summed from dy itself. `weights` may be null: W is rounded in this call. Throws
/// titan::Error where x was rounded with another recipe, and as float8_product does.
at::Tensor float8_linear(const Float8Input& x, const at::Tensor& weight, const at::Tensor& bias,
                         const Float8Options& options, Float8Weights* weights = nullptr);
/// The same of an x that this layer alone reads.
at::Tensor float8_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         const Float8Options& options, Float8Weights* weights = nullptr);

struct Float8Gradients {
  at::Tensor x, weight, bias;  ///< undefined where not wanted
};
/// The gradients that float8_linear's own backward gives, from its inputs: what a recomputed block
/// that kept the layer's result calls (ops/kept.h). Of x the transposed copy is needed, for the
/// gradient of W.
Float8Gradients float8_linear_gradients(const at::Tensor& grad, const Float8Copies& x,
                                        const at::Tensor& weight, const Float8Options& options,
                                        bool want_x, bool want_weight, bool want_bias);

}  // namespace titan::ops
