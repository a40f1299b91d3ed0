// flops.h: floating-point operations counted while a program runs, from the shapes of its matrix
// products.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/ivalue.h>
#include <c10/util/ArrayRef.h>

namespace titan::metrics {

/// One multiply-add is 2; norms, biases, softmax and element-wise work count nothing.
struct CountedFlops {
  int64_t model = 0;
  /// Work done a second time, not model work: blocks that backward computes again, and what a fused
  /// kernel repeats in its backward (attention's scores).
  int64_t recompute = 0;
};

/// What one call of an op costs, from its arguments.
using FlopFormula = CountedFlops (*)(c10::ArrayRef<c10::IValue> inputs);

/// Names the formula of an op ("titan::x") that multiplies matrices without calling a counted op.
/// Products and attention ops of ATen are known. Naming one twice replaces the formula.
void register_flop_formula(const std::string& op, FlopFormula formula);

/// Counts from construction to destruction, on all threads: leaf products only (mm, addmm, bmm,
/// baddbmm, convolution, scaled-dot-product attention, forward and backward), so nothing is counted
/// twice. One at a time. Costs about a microsecond an op: for tests and reports, not for every
/// step.
class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;

  CountedFlops counted() const;

 private:
  std::uint64_t handle_;
};

}  // namespace titan::metrics
