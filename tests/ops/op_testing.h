// op_testing.h: what the op tests share: run an op and its backward, fused or as reference, and
// compare with float64. Include tests/support/catch.h first.
#pragma once

#include <functional>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "titan/kernels/cpu/simd.h"
#include "titan/ops/backend.h"
#include "titan/parallel/cuda_library.h"

namespace titan::testing {

/// Sets the backend; puts "fused" back at the end of the scope.
class BackendScope {
 public:
  explicit BackendScope(ops::Backend backend) { ops::set_backend(backend); }
  ~BackendScope() { ops::set_backend(ops::Backend::kFused); }
  BackendScope(const BackendScope&) = delete;
  BackendScope& operator=(const BackendScope&) = delete;
};

/// Caps the vector width; takes the cap away at the end of the scope.
class SimdScope {
 public:
  explicit SimdScope(kernels::cpu::SimdLevel level) { kernels::cpu::limit_simd_level(level); }
  ~SimdScope() { kernels::cpu::limit_simd_level(kernels::cpu::SimdLevel::kAvx512); }
  SimdScope(const SimdScope&) = delete;
  SimdScope& operator=(const SimdScope&) = delete;
};

/// Whether a GPU can be used; the first statement of a [cuda] test, as LibTorch looks its CUDA
/// hooks up once. Those tests run in a process of their own.
inline bool has_cuda() { return parallel::load_cuda_library().loaded && at::hasCUDA(); }

using Tensors = std::vector<at::Tensor>;
/// From leaves to the outputs that gradients are taken of.
using OpCall = std::function<Tensors(const Tensors&)>;

/// Outputs, then the gradient of each input, of sum(output * weight) with fixed weights; inputs
/// cast to `dtype` first. All in float64.
inline Tensors run_op(const OpCall& op, const Tensors& inputs, at::ScalarType dtype) {
  Tensors leaves;
  for (const at::Tensor& input : inputs)
    leaves.push_back(input.to(dtype).detach().clone().requires_grad_(true));
  Tensors outputs = op(leaves);
  at::Tensor total;
  Tensors results;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const at::Tensor weight =
        at::randn(outputs[i].sizes(), at::make_generator<at::CPUGeneratorImpl>(i + 1), at::kDouble)
            .to(outputs[i].device());
    const at::Tensor term = (outputs[i].to(at::kDouble) * weight).sum();
    total = total.defined() ? total + term : term;
    results.push_back(outputs[i].detach().to(at::kDouble));
  }
  total.backward();
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad().to(at::kDouble));
  return results;
}

/// max|a - b| / max(|b|, 1e-30); infinite where a is not finite.
inline double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || !a.isfinite().all().item<bool>()) return INFINITY;
  if (a.numel() == 0) return 0.0;
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item<double>();
}

/// Runs `op` fused in `dtype` and as reference in float64 from the same (rounded) inputs; the
/// largest difference over outputs and gradients.
inline double worst_difference(const OpCall& op, const Tensors& inputs, at::ScalarType dtype) {
  Tensors rounded;
  for (const at::Tensor& input : inputs) rounded.push_back(input.to(dtype).to(at::kDouble));
  const Tensors actual = run_op(op, rounded, dtype);
  Tensors expected;
  {
    const BackendScope reference(ops::Backend::kReference);
    expected = run_op(op, rounded, at::kDouble);
  }
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i)
    worst = std::max(worst, difference(actual[i], expected[i]));
  return worst;
}

/// float32: sums of up to a few thousand terms. bfloat16: a unit in the last place is 2^-8, and a
/// result is rounded once or twice.
inline double tolerance(at::ScalarType dtype) { return dtype == at::kFloat ? 5e-6 : 1.2e-2; }

inline at::Tensor randn(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }

}  // namespace titan::testing
