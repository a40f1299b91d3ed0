#include "tests/support/catch.h"

#include <array>

#include "titan/ops/stream_attention.h"

#include "titan/ops/gelu.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using kernels::cpu::SimdLevel;
using testing::randn;
using testing::Tensors;

constexpr SimdLevel kLevels[] = {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512};

ops::StreamAttention options_of(int64_t heads, int64_t tokens, int64_t head_dim) {
  const at::Tensor angle = at::randn({tokens, head_dim / 2});
  return {.heads = heads, .eps = 1e-6, .rope = at::stack({angle.cos(), angle.sin()}, -1)};
}

TEST_CASE("gelu agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(1);
  const auto op = [](const Tensors& in) -> Tensors { return {ops::gelu(in[0])}; };
  for (const SimdLevel level : kLevels) {
    const testing::SimdScope scope(level);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const std::vector<int64_t>& shape :
           {std::vector<int64_t>{1}, std::vector<int64_t>{3, 17},
            std::vector<int64_t>{2, 100, 333}}) {
        CAPTURE(shape, c10::toString(dtype));
        REQUIRE(testing::worst_difference(op, {randn(shape) * 4}, dtype) <
                testing::tolerance(dtype));
      }
    }
  }
}

TEST_CASE("gelu is finite and right for large arguments, keeps NaN, takes an empty tensor",
          "[ops]") {
  const at::Tensor x = at::tensor({-1e4F, -20.0F, 0.0F, 20.0F, 1e4F});
  REQUIRE(at::allclose(ops::gelu(x), at::tensor({0.0F, 0.0F, 0.0F, 20.0F, 1e4F}), 1e-6, 1e-6));
  REQUIRE(ops::gelu(at::full({3}, NAN)).isnan().all().item<bool>());
  REQUIRE(ops::gelu(at::empty({0, 4})).numel() == 0);
}

/// Text and image projections, four scales.
Tensors joint_inputs(int64_t batch, int64_t txt, int64_t img, int64_t heads, int64_t head_dim) {
  Tensors in = {randn({batch, txt, 3 * heads * head_dim}),
                randn({batch, img, 3 * heads * head_dim})};
  for (int i = 0; i < 4; ++i) in.push_back(randn({head_dim}) * 0.3 + 1);
  return in;
}

TEST_CASE("joint_attention agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(2);
  for (const auto& [batch, txt, img, heads, head_dim] :
       {std::array<int64_t, 5>{1, 1, 1, 1, 2}, {2, 5, 12, 3, 32}, {3, 33, 40, 2, 128}}) {
    const ops::StreamAttention options = options_of(heads, txt + img, head_dim);
    const auto op = [&](const Tensors& in) -> Tensors {
      const ops::StreamOutputs out =
          ops::joint_attention({in[0], in[2], in[3]}, {in[1], in[4], in[5]}, options);
      return {out.txt, out.img};
    };
    const Tensors in = joint_inputs(batch, txt, img, heads, head_dim);
    for (const SimdLevel level : kLevels) {
      const testing::SimdScope scope(level);
      CAPTURE(batch, txt, img, heads, head_dim, static_cast<int>(level));
      // sums of three steps: norm, scores, softmax
      REQUIRE(testing::worst_difference(op, in, at::kFloat) < 2e-5);
      REQUIRE(testing::worst_difference(op, in, at::kBFloat16) < 6e-2);
    }
  }
}

TEST_CASE("parallel_attention agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(3);
  for (const auto& [batch, tokens, heads, head_dim, mlp] :
       {std::array<int64_t, 5>{1, 1, 1, 2, 1}, {2, 17, 3, 32, 100}, {3, 70, 2, 128, 512}}) {
    const ops::StreamAttention options = options_of(heads, tokens, head_dim);
    const auto op = [&](const Tensors& in) -> Tensors {
      return {ops::parallel_attention(in[0], in[1], in[2], options)};
    };
    const Tensors in = {randn({batch, tokens, 3 * heads * head_dim + mlp}),
                        randn({head_dim}) * 0.3 + 1, randn({head_dim}) * 0.3 + 1};
    for (const SimdLevel level : kLevels) {
      const testing::SimdScope scope(level);
      CAPTURE(batch, tokens, heads, head_dim, mlp, static_cast<int>(level));
      REQUIRE(testing::worst_difference(op, in, at::kFloat) < 2e-5);
      REQUIRE(testing::worst_difference(op, in, at::kBFloat16) < 6e-2);
    }
  }
}

TEST_CASE("a head of zeros stays finite: eps decides", "[ops]") {
  const ops::StreamAttention options = options_of(2, 4, 8);
  at::Tensor y = at::zeros({1, 4, 3 * 16 + 8}).requires_grad_(true);
  const at::Tensor scale = at::ones({8});
  const at::Tensor out = ops::parallel_attention(y, scale, scale, options);
  out.sum().backward();
  REQUIRE(out.abs().max().item<double>() == 0.0);
  REQUIRE(y.grad().isfinite().all().item<bool>());
}

TEST_CASE("without a gradient to record the fused operations give the same numbers", "[ops]") {
  at::manual_seed(4);
  const ops::StreamAttention options = options_of(2, 9, 16);
  const at::Tensor y = at::randn({2, 9, 3 * 32 + 40}), scale = at::ones({16});
  const at::Tensor recorded =
      ops::parallel_attention(y.clone().requires_grad_(true), scale, scale, options);
  const torch::NoGradGuard no_grad;
  REQUIRE(at::equal(ops::parallel_attention(y, scale, scale, options), recorded));
}

TEST_CASE("stream attention names shapes that do not fit", "[ops]") {
  const ops::StreamAttention options = options_of(2, 9, 16);
  const at::Tensor scale = at::ones({16});
  REQUIRE_THROWS_WITH(ops::parallel_attention(at::randn({1, 8, 96}), scale, scale, options),
                      Catch::Contains("tokens=8"));
  REQUIRE_THROWS_WITH(ops::parallel_attention(at::randn({1, 9, 95}), scale, scale, options),
                      Catch::Contains("3 H D_head"));
  REQUIRE_THROWS_WITH(
      ops::parallel_attention(at::randn({1, 9, 96}), at::ones({15}), scale, options),
      Catch::Contains("D_head=16"));
  REQUIRE_THROWS_WITH(ops::joint_attention({at::randn({1, 4, 96}), scale, scale},
                                           {at::randn({2, 5, 96}), scale, scale}, options),
                      Catch::Contains("same batch and width"));
}

}  // namespace
}  // namespace titan
