// The CUDA kernels of the modulated norm, emulated, against their CPU twins.
#include "tests/support/catch.h"

#include <array>

#include "titan/kernels/modulate_norm.h"

#include "tests/kernels/kernel_testing.h"

namespace titan::kernels {
namespace {

using testing::Array;
using testing::difference;
using testing::kOffsets;
using testing::kStorages;
using testing::marked_array;
using testing::random_array;
using testing::tolerance;

constexpr StorageType kFloat = StorageType::kFloat32;

/// Everything a backward writes.
struct Gradients {
  Array x, branch, weight, bias, scale, shift, gate;
  explicit Gradients(const NormProblem& p)
      : x(marked_array(p.storage, p.batch * p.tokens * p.dim)),
        branch(marked_array(p.storage, p.batch * p.tokens * p.dim)),
        weight(marked_array(kFloat, p.dim)),
        bias(marked_array(kFloat, p.dim)),
        scale(marked_array(kFloat, p.batch * p.dim)),
        shift(marked_array(kFloat, p.batch * p.dim)),
        gate(marked_array(kFloat, p.batch * p.dim)) {}
};

struct Values {
  Array h, y, mean, rstd;
  explicit Values(const NormProblem& p)
      : h(marked_array(p.storage, p.batch * p.tokens * p.dim)),
        y(marked_array(p.storage, p.batch * p.tokens * p.dim)),
        mean(marked_array(kFloat, p.batch * p.tokens)),
        rstd(marked_array(kFloat, p.batch * p.tokens)) {}
  ModulateNormForward io(Array& x, Array& branch, bool residual) {
    return {x.data(),
            residual ? branch.data() : nullptr,
            residual ? h.data() : nullptr,
            y.data(),
            mean.floats(),
            rstd.floats()};
  }
};

/// residual: behind x + gate * branch; affine: with weight, bias and gate.
void check_norm(const NormProblem& p, bool residual, bool affine, int64_t offset) {
  const int64_t count = p.batch * p.tokens * p.dim;
  constexpr int64_t kRows = 6;  // of one sample's modulation
  Array x = random_array(p.storage, count, offset), branch = random_array(p.storage, count, offset);
  Array weight = random_array(p.param_storage, p.dim), bias = random_array(p.param_storage, p.dim);
  Array rows = random_array(p.param_storage, kRows * p.batch * p.dim);
  NormParameters parameters;
  parameters.scale = {rows.data(), kRows * p.dim};
  parameters.shift = {rows.data(p.dim), kRows * p.dim};
  if (affine) {
    parameters.weight = weight.data();
    parameters.bias = bias.data();
    if (residual) parameters.gate = {rows.data(2 * p.dim), kRows * p.dim};
  }
  Values actual(p), expected(p);
  cpu::modulate_norm_forward(p, parameters, expected.io(x, branch, residual));
  cuda::modulate_norm_forward(p, parameters, actual.io(x, branch, residual), nullptr);
  const double bound = 2 * tolerance(p.storage);  // the residual is rounded, then the norm
  REQUIRE(difference(actual.h, expected.h) < bound);
  REQUIRE(difference(actual.y, expected.y) < bound);
  REQUIRE(difference(actual.mean, expected.mean) < 1e-4);  // sums that nearly cancel
  REQUIRE(difference(actual.rstd, expected.rstd) < 5e-5);

  Array grad_y = random_array(p.storage, count), grad_h = random_array(p.storage, count);
  Array partial = marked_array(kFloat, modulate_norm_partial_size(p));
  Gradients down(p), expected_down(p);
  const auto io = [&](Gradients& g) {
    ModulateNormBackward all{.grad_y = grad_y.data(),
                             .grad_h = residual ? grad_h.data() : nullptr,
                             .h = residual ? expected.h.data() : x.data(),
                             .branch = residual ? branch.data() : nullptr,
                             .mean = expected.mean.floats(),
                             .rstd = expected.rstd.floats(),
                             .grad_x = g.x.data(),
                             .grad_branch = residual ? g.branch.data() : nullptr,
                             .grad_scale = g.scale.floats(),
                             .grad_shift = g.shift.floats(),
                             .partial = partial.floats()};
    if (affine) {
      all.grad_weight = g.weight.floats();
      all.grad_bias = g.bias.floats();
      if (residual) all.grad_gate = g.gate.floats();
    }
    return all;
  };
  cpu::modulate_norm_backward(p, parameters, io(expected_down));
  cuda::modulate_norm_backward(p, parameters, io(down), nullptr);
  REQUIRE(difference(down.x, expected_down.x) < bound);
  REQUIRE(difference(down.branch, expected_down.branch) < bound);
  const double sums = p.storage == kFloat ? 2e-5 : 1e-3;  // over tokens; of what was rounded
  REQUIRE(difference(down.weight, expected_down.weight) < sums);
  REQUIRE(difference(down.bias, expected_down.bias) < sums);
  REQUIRE(difference(down.scale, expected_down.scale) < sums);
  REQUIRE(difference(down.shift, expected_down.shift) < sums);
  REQUIRE(difference(down.gate, expected_down.gate) < sums);
  REQUIRE(partial.margin_untouched());
}

TEST_CASE("the modulated norm's CUDA kernels agree with the CPU's", "[kernels]") {
  // Many tasks to sum up, then every number of accesses a thread that either direction takes.
  for (const auto& [batch, tokens, dim] : {std::array<int64_t, 3>{2, 5, 7},
                                           {2, 37, 40},
                                           {1, 600, 8},
                                           {1, 3, 600},
                                           {1, 2, 1536},
                                           {1, 2, 3072},
                                           {1, 2, 6144},
                                           {1, 2, 12288}}) {
    for (const StorageType type : kStorages) {
      for (const StorageType parameters : kStorages) {
        for (const bool rms : {false, true}) {
          for (const auto& [residual, affine] :
               {std::array<bool, 2>{false, false}, {true, true}, {true, false}}) {
            const int64_t offset = kOffsets[rms ? 1 : 0];
            CAPTURE(static_cast<int>(type), static_cast<int>(parameters), rms, residual, affine,
                    tokens, dim);
            check_norm({.batch = batch,
                        .tokens = tokens,
                        .dim = dim,
                        .rms = rms,
                        .storage = type,
                        .param_storage = parameters,
                        .rows_per_task = 32},
                       residual, affine, offset);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace titan::kernels
