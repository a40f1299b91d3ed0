#include "tests/support/catch.h"

#include "titan/ops/linear.h"

#include "titan/kernels/gemm.h"
#include "titan/metrics/flops.h"
#include "titan/ops/kept.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using kernels::GemmOperand;
using kernels::cpu::SimdLevel;
using testing::randn;
using testing::Tensors;

constexpr SimdLevel kLinearLevels[] = {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512};

at::Tensor linear(const Tensors& in) {
  return ops::linear(in[0], in[1], in.size() > 2 ? in[2] : at::Tensor());
}
/// Whether titan::linear made `out`, which records a gradient.
bool is_ours(const at::Tensor& out) {
  return out.grad_fn()->name().find("LinearFunction") != std::string::npos;
}
/// An operand of element (i, s), stored by rows i or by columns.
GemmOperand operand(const at::Tensor& matrix, bool by_row) {
  return by_row ? GemmOperand{matrix.const_data_ptr<float>(), matrix.stride(0), 1}
                : GemmOperand{matrix.const_data_ptr<float>(), 1, matrix.stride(0)};
}

struct Sizes {
  int64_t rows, columns, depth;
};
// One row, one column, depth 1; around the tiles (14 x 32, 6 x 16) and the blocks (252 rows, depth
// 384); past a block of columns (2048).
const std::vector<Sizes> kSizes = {{1, 1, 1},     {1, 40, 7},      {9, 1, 33},     {17, 5, 1},
                                   {6, 16, 15},   {14, 32, 16},    {13, 31, 17},   {29, 65, 130},
                                   {253, 33, 50}, {254, 100, 385}, {37, 49, 1200}, {3, 2100, 20}};

/// The largest error of one product over what its sums hold at most.
double gemm_error(const Sizes& n, bool a_by_row, bool b_by_row, bool accumulate) {
  const at::Tensor a = at::randn({n.rows, n.depth}), b = at::randn({n.columns, n.depth});
  const at::Tensor bias = at::randn({n.columns}), before = at::randn({n.rows, n.columns + 3});
  const at::Tensor a_stored = a_by_row ? a : a.t().contiguous();
  const at::Tensor b_stored = b_by_row ? b : b.t().contiguous();
  at::Tensor c = before.clone(), sums = at::full({n.rows}, 7.0F);
  kernels::cpu::gemm({.rows = n.rows,
                      .columns = n.columns,
                      .depth = n.depth,
                      .a = operand(a_stored, a_by_row),
                      .b = operand(b_stored, b_by_row),
                      .c = c.mutable_data_ptr<float>(),
                      .c_step = c.stride(0),
                      .bias = accumulate ? nullptr : bias.const_data_ptr<float>(),
                      .accumulate = accumulate,
                      .a_row_sums = sums.mutable_data_ptr<float>()});
  const at::Tensor start = accumulate ? before.narrow(1, 0, n.columns) : bias;
  const at::Tensor expected = a.to(at::kDouble).mm(b.to(at::kDouble).t()) + start;
  REQUIRE(at::equal(c.narrow(1, n.columns, 3), before.narrow(1, n.columns, 3)));  // not touched
  return std::max(testing::difference(c.narrow(1, 0, n.columns).to(at::kDouble), expected),
                  ((sums - a.to(at::kDouble).sum(1)).abs().max() / static_cast<double>(n.depth))
                      .item<double>());
}

TEST_CASE("gemm agrees with float64 for every size, layout and instruction set", "[ops]") {
  at::manual_seed(1);
  for (const SimdLevel level : kLinearLevels) {
    const testing::SimdScope scope(level);
    for (const Sizes& n : kSizes) {
      for (const int way : {0, 1, 2, 3, 4, 5, 6, 7}) {
        CAPTURE(static_cast<int>(level), n.rows, n.columns, n.depth, way);
        REQUIRE(gemm_error(n, (way & 1) != 0, (way & 2) != 0, (way & 4) != 0) <
                testing::tolerance(at::kFloat));
      }
    }
  }
}

TEST_CASE("gemm of depth 0 gives the bias, sums of nothing are zero", "[ops]") {
  const at::Tensor bias = at::randn({40}), nothing = at::empty({1});
  at::Tensor c = at::randn({20, 40}), sums = at::randn({20});
  kernels::cpu::gemm({.rows = 20,
                      .columns = 40,
                      .depth = 0,
                      .a = operand(nothing.view({1, 1}), true),
                      .b = operand(nothing.view({1, 1}), true),
                      .c = c.mutable_data_ptr<float>(),
                      .c_step = 40,
                      .bias = bias.const_data_ptr<float>(),
                      .a_row_sums = sums.mutable_data_ptr<float>()});
  REQUIRE(at::equal(c, bias.expand({20, 40})));
  REQUIRE(at::equal(sums, at::zeros({20})));
}

TEST_CASE("linear agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(2);
  const auto op = [](const Tensors& in) -> Tensors { return {linear(in)}; };
  for (const SimdLevel level : kLinearLevels) {
    const testing::SimdScope scope(level);
    for (const Sizes& n : kSizes) {
      CAPTURE(static_cast<int>(level), n.rows, n.columns, n.depth);
      const at::Tensor x = randn({n.rows, n.depth}), weight = randn({n.columns, n.depth});
      REQUIRE(testing::worst_difference(op, {x, weight}, at::kFloat) <
              testing::tolerance(at::kFloat));
      REQUIRE(testing::worst_difference(op, {x, weight, randn({n.columns})}, at::kFloat) <
              testing::tolerance(at::kFloat));
    }
  }
}

TEST_CASE("linear takes large float32 layers itself, leaves the rest to LibTorch", "[ops]") {
  if (kernels::cpu::simd_level() == SimdLevel::kBaseline) TITAN_SKIP("the processor has no AVX2");
  const at::Tensor x = at::randn({2, 50, 64}), weight = at::randn({96, 64}).requires_grad_(true);
  REQUIRE(is_ours(ops::linear(x, weight, {})));
  REQUIRE_FALSE(is_ours(ops::linear(x[0].narrow(0, 0, 3), weight, {})));
  const at::Tensor bf16 = ops::linear(x.to(at::kBFloat16), weight.to(at::kBFloat16), {});
  REQUIRE_FALSE(is_ours(bf16));
  REQUIRE(at::equal(bf16, at::linear(x.to(at::kBFloat16), weight.to(at::kBFloat16))));
  {
    const testing::BackendScope reference(ops::Backend::kReference);
    const at::Tensor out = ops::linear(x, weight, {});
    REQUIRE_FALSE(is_ours(out));
    REQUIRE(at::equal(out, at::linear(x, weight)));
  }
  const testing::SimdScope scope(SimdLevel::kBaseline);
  REQUIRE_FALSE(is_ours(ops::linear(x, weight, {})));
}

TEST_CASE("linear takes parts, transposes and expanded tensors", "[ops]") {
  at::manual_seed(3);
  const auto op = [](const Tensors& in) -> Tensors {
    const at::Tensor part = in[0].narrow(-1, 5, 64),
                     turned = in[0].transpose(0, 1).narrow(-1, 0, 64);
    const at::Tensor same = in[0][0][0].narrow(0, 0, 64).expand({4, 30, 64});
    return {ops::linear(part, in[1], in[2]), ops::linear(turned, in[1].flip(0), {}),
            ops::linear(same, in[1].t().contiguous().t(), in[2])};
  };
  REQUIRE(testing::worst_difference(op, {randn({3, 20, 80}), randn({70, 64}), randn({70})},
                                    at::kFloat) < testing::tolerance(at::kFloat));
}

TEST_CASE("linear takes an expanded gradient and gives only the gradients asked for", "[ops]") {
  at::manual_seed(4);
  const at::Tensor x = at::randn({40, 64}), bias = at::randn({48}).requires_grad_(true);
  const at::Tensor weight = at::randn({48, 64}).requires_grad_(true);
  ops::linear(x, weight, bias).sum().backward();
  REQUIRE(at::allclose(bias.grad(), at::full({48}, 40.0F)));
  REQUIRE(at::allclose(weight.grad(), x.sum(0).expand({48, 64}), 1e-4, 1e-5));
  const Tensors only_bias = torch::autograd::grad({ops::linear(x, weight, bias).sum()}, {bias});
  REQUIRE(at::allclose(only_bias[0], at::full({48}, 40.0F)));
  const torch::NoGradGuard no_grad;
  REQUIRE_FALSE(ops::linear(x, weight, bias).requires_grad());
}

TEST_CASE("linear of an empty batch has gradients of zero", "[ops]") {
  const at::Tensor weight = at::randn({48, 64}).requires_grad_(true);
  const at::Tensor out = ops::linear(at::empty({0, 7, 64}), weight, {});
  REQUIRE(out.sizes() == at::IntArrayRef({0, 7, 48}));
  out.sum().backward();
  REQUIRE(at::equal(weight.grad(), at::zeros({48, 64})));
}

/// The result and every gradient.
Tensors everything(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor out = ops::linear(x, weight, bias);
  Tensors all = torch::autograd::grad({out}, {x, weight, bias}, {out.detach().sin()});
  all.push_back(out.detach());
  return all;
}

TEST_CASE("linear gives the same bits on any number of threads and in every run", "[ops]") {
  at::manual_seed(5);
  const at::Tensor x = at::randn({515, 200}).requires_grad_(true);
  const at::Tensor weight = at::randn({300, 200}).requires_grad_(true);
  const at::Tensor bias = at::randn({300}).requires_grad_(true);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors alone = everything(x, weight, bias);
  for (const int threads : {1, 2, 3, 4}) {
    at::set_num_threads(threads);
    const Tensors together = everything(x, weight, bias);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      CAPTURE(threads, i);
      // LibTorch's own sums, where the processor is too old for ours, depend on the threads.
      if (kernels::cpu::simd_level() != SimdLevel::kBaseline || threads == 1)
        REQUIRE(at::equal(alone[i], together[i]));
    }
  }
  at::set_num_threads(before);
}

TEST_CASE("linear that a recomputed block keeps gives the same bits without its product", "[ops]") {
  at::manual_seed(6);
  const at::Tensor x = at::randn({3, 100, 64}).requires_grad_(true);
  const at::Tensor weight = at::randn({80, 64}).requires_grad_(true);
  const at::Tensor bias = at::randn({80}).requires_grad_(true);
  const Tensors plain = everything(x, weight, bias);
  const ops::KeepPolicy every{.tags = {}, .matmul_every = 1, .outputs = false};
  ops::KeptResults block(every);
  {
    const torch::NoGradGuard no_grad;
    const ops::KeptScope scope(block, /*again=*/false);
    ops::linear(x, weight, bias);
  }
  block.end_first_pass({});
  const ops::KeptScope scope(block, /*again=*/true);
  const metrics::FlopCounter counter;
  const Tensors kept = everything(x, weight, bias);
  const metrics::CountedFlops flops = counter.counted();
  REQUIRE(flops.model + flops.recompute == 2 * 2 * 300 * 64 * 80);  // the gradients' products
  for (std::size_t i = 0; i < plain.size(); ++i) REQUIRE(at::equal(plain[i], kept[i]));
}

TEST_CASE("linear counts the FLOPs that LibTorch's counts", "[ops]") {
  const auto flops = [](bool x_gradient) {
    const at::Tensor x = at::randn({3, 100, 64}).requires_grad_(x_gradient);
    const at::Tensor weight = at::randn({80, 64}).requires_grad_(true);
    const metrics::FlopCounter counter;
    ops::linear(x, weight, {}).sum().backward();
    return counter.counted().model;
  };
  for (const bool x_gradient : {false, true}) {
    const int64_t fused = flops(x_gradient);
    const testing::BackendScope reference(ops::Backend::kReference);
    REQUIRE(fused == flops(x_gradient));
    REQUIRE(fused == (x_gradient ? 3 : 2) * 2 * 300 * 64 * 80);
  }
}

TEST_CASE("linear on shapes alone gives the shapes", "[ops]") {
  const auto leaf = [](at::IntArrayRef shape) {
    return at::empty(shape, at::kMeta).requires_grad_(true);
  };
  const at::Tensor x = leaf({3, 100, 64}), weight = leaf({80, 64}), bias = leaf({80});
  const at::Tensor out = ops::linear(x, weight, bias);
  REQUIRE(out.sizes() == at::IntArrayRef({3, 100, 80}));
  const Tensors grads = torch::autograd::grad({out}, {x, weight, bias}, {at::empty_like(out)});
  REQUIRE(grads[0].sizes() == x.sizes());
  REQUIRE(grads[1].sizes() == weight.sizes());
  REQUIRE(grads[2].sizes() == bias.sizes());
}

TEST_CASE("linear names shapes that do not fit", "[ops]") {
  const at::Tensor x = at::randn({8, 64});
  REQUIRE_THROWS_WITH(ops::linear(x, at::randn({48, 63}), {}),
                      Catch::Contains("[linear] x must be [..., in]") &&
                          Catch::Contains("x=[8, 64], weight=[48, 63], bias=undefined"));
  REQUIRE_THROWS_WITH(ops::linear(x, at::randn({48, 64}), at::randn({64})),
                      Catch::Contains("[linear] x must be [..., in]"));
  REQUIRE_THROWS_WITH(ops::linear(x, {}, {}), Catch::Contains("weight=undefined"));
}

}  // namespace
}  // namespace titan
