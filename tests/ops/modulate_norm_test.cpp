#include "tests/support/catch.h"

#include "titan/ops/modulate_norm.h"

#include "titan/base/check.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using kernels::cpu::SimdLevel;
using testing::difference;
using testing::randn;
using testing::Tensors;

struct NormShape {
  int64_t batch, tokens, dim;
};
// One row, rows that do not fill a task, widths that do not fill a vector, several tasks a sample.
const NormShape kShapes[] = {{1, 1, 3}, {2, 5, 7}, {3, 64, 48}, {2, 130, 384}, {1, 70, 1152}};

TEST_CASE("modulate_norm agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(1);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool rms : {true, false}) {
      for (const NormShape& s : kShapes) {
        const Tensors inputs = {randn({s.batch, s.tokens, s.dim}) * 3 + 0.5, randn({s.dim}),
                                randn({s.dim}), randn({s.batch, s.dim}), randn({s.batch, s.dim})};
        const auto all = [&](const Tensors& in) -> Tensors {
          return {ops::modulate_norm(in[0],
                                     {.rms = rms, .eps = 1e-5, .weight = in[1], .bias = in[2]},
                                     {.scale = in[3], .shift = in[4]})};
        };
        const auto bare = [&](const Tensors& in) -> Tensors {
          return {ops::modulate_norm(in[0], {.rms = rms, .eps = 1e-5})};
        };
        CAPTURE(rms, s.batch, s.tokens, s.dim, c10::toString(dtype));
        REQUIRE(testing::worst_difference(all, inputs, dtype) < testing::tolerance(dtype));
        REQUIRE(testing::worst_difference(bare, {inputs[0]}, dtype) < testing::tolerance(dtype));
      }
    }
  }
}

TEST_CASE("residual_modulate_norm agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(2);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool rms : {true, false}) {
      for (const NormShape& s : kShapes) {
        const Tensors inputs = {
            randn({s.batch, s.tokens, s.dim}), randn({s.batch, s.tokens, s.dim}),
            randn({s.batch, s.dim}),           randn({s.dim}),
            randn({s.batch, s.dim}),           randn({s.batch, s.dim})};
        const auto gated = [&](const Tensors& in) -> Tensors {
          auto [h, y] = ops::residual_modulate_norm(
              in[0], in[1], in[2], {.rms = rms, .weight = in[3]}, {.scale = in[4], .shift = in[5]});
          return {h, y};
        };
        const auto plain = [&](const Tensors& in) -> Tensors {
          auto [h, y] =
              ops::residual_modulate_norm(in[0], in[1], {}, {.rms = rms, .weight = in[2]});
          return {h, y};
        };
        CAPTURE(rms, s.batch, s.tokens, s.dim, c10::toString(dtype));
        // h is rounded to bfloat16 before it is normalised, which float64 does not do: twice the
        // tolerance.
        REQUIRE(testing::worst_difference(gated, inputs, dtype) < 2 * testing::tolerance(dtype));
        REQUIRE(testing::worst_difference(plain, {inputs[0], inputs[1], inputs[3]}, dtype) <
                2 * testing::tolerance(dtype));
      }
    }
  }
}

TEST_CASE("modulate_norm gives the same bits for any number of threads", "[ops]") {
  at::manual_seed(3);
  const Tensors inputs = {randn({3, 200, 96}), randn({96}), randn({3, 96}), randn({3, 96})};
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::modulate_norm(in[0], {.weight = in[1]}, {.scale = in[2], .shift = in[3]})};
  };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors one = testing::run_op(op, inputs, at::kFloat);
  at::set_num_threads(2);
  const Tensors two = testing::run_op(op, inputs, at::kFloat);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < one.size(); ++i) REQUIRE(at::equal(one[i], two[i]));
}

TEST_CASE("modulate_norm at every vector width agrees with float64", "[ops]") {
  at::manual_seed(4);
  const Tensors inputs = {randn({2, 70, 52}), randn({52}), randn({2, 52}), randn({2, 52})};
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::modulate_norm(in[0], {.rms = false, .weight = in[1]},
                               {.scale = in[2], .shift = in[3]})};
  };
  for (const SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    const testing::SimdScope scope(level);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      REQUIRE(testing::worst_difference(op, inputs, dtype) < testing::tolerance(dtype));
    }
  }
}

TEST_CASE("modulate_norm takes strided parameters and rows [B, 1, D]", "[ops]") {
  at::manual_seed(5);
  const at::Tensor x = at::randn({2, 6, 16});
  const at::Tensor six = at::randn({2, 6, 16});
  const std::vector<at::Tensor> part = six.unbind(1);  // row stride 6 * 16
  const at::Tensor strided = ops::modulate_norm(x, {}, {.scale = part[1], .shift = part[4]});
  const at::Tensor dense = ops::modulate_norm(
      x, {}, {.scale = part[1].contiguous().unsqueeze(1), .shift = part[4].contiguous()});
  REQUIRE(at::equal(strided, dense));
}

TEST_CASE("modulate_norm needs no gradient where grad mode is off", "[ops]") {
  const at::Tensor x = at::randn({1, 2, 8}).requires_grad_(true);
  {
    const torch::NoGradGuard no_grad;
    REQUIRE_FALSE(ops::modulate_norm(x, {}).requires_grad());
  }
  REQUIRE(ops::modulate_norm(x, {}).requires_grad());
}

TEST_CASE("modulate_norm names the shape that does not fit", "[ops]") {
  const at::Tensor x = at::randn({2, 3, 8});
  REQUIRE_THROWS_WITH(ops::modulate_norm(at::randn({3, 8}), {}),
                      Catch::Contains("x must be [B, N, D]"));
  REQUIRE_THROWS_WITH(ops::modulate_norm(x, {}, {.scale = at::randn({3, 8})}),
                      Catch::Contains("scale must be [B, D]"));
  REQUIRE_THROWS_WITH(ops::modulate_norm(x, {.weight = at::randn({7})}),
                      Catch::Contains("weight and bias must be [D]"));
  REQUIRE_THROWS_WITH(ops::residual_modulate_norm(x, at::randn({2, 3, 7}), {}, {}),
                      Catch::Contains("branch must have x's shape"));
}

TEST_CASE("modulate_norm on a GPU agrees with float64", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(6);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool rms : {true, false}) {
      for (const NormShape& s :
           {NormShape{2, 5, 7}, NormShape{2, 130, 384}, NormShape{1, 70, 3072}}) {
        Tensors inputs = {randn({s.batch, s.tokens, s.dim}), randn({s.batch, s.tokens, s.dim}),
                          randn({s.batch, s.dim}),           randn({s.dim}),
                          randn({s.batch, s.dim}),           randn({s.batch, s.dim})};
        for (at::Tensor& input : inputs) input = input.cuda();
        const auto gated = [&](const Tensors& in) -> Tensors {
          auto [h, y] = ops::residual_modulate_norm(
              in[0], in[1], in[2], {.rms = rms, .weight = in[3]}, {.scale = in[4], .shift = in[5]});
          return {h, y};
        };
        const auto alone = [&](const Tensors& in) -> Tensors {
          return {ops::modulate_norm(in[0], {.rms = rms, .weight = in[1]},
                                     {.scale = in[2], .shift = in[3]})};
        };
        CAPTURE(rms, s.batch, s.tokens, s.dim, c10::toString(dtype));
        REQUIRE(ops::use_fused(inputs[0].to(dtype), "titan::modulate_norm"));
        REQUIRE(testing::worst_difference(gated, inputs, dtype) < 2 * testing::tolerance(dtype));
        REQUIRE(testing::worst_difference(alone, {inputs[0], inputs[3], inputs[4], inputs[5]},
                                          dtype) < testing::tolerance(dtype));
      }
    }
  }
}

}  // namespace
}  // namespace titan
