#include "tests/support/catch.h"

#include "titan/ops/mse.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using kernels::cpu::SimdLevel;
using testing::randn;
using testing::Tensors;

TEST_CASE("mse agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(1);
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{1}, {3, 17}, {2, 3, 5, 7}, {2, 4, 64, 64}}) {
    const at::Tensor target = randn(shape);
    const auto op = [&](const Tensors& in) -> Tensors {
      // The reference in float64 has a float64 target.
      const bool wide = in[0].scalar_type() == at::kDouble;
      return {ops::mse(in[0], wide ? target : target.to(at::kFloat))};
    };
    for (const SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
      const testing::SimdScope scope(level);
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
        CAPTURE(shape, c10::toString(dtype), static_cast<int>(level));
        REQUIRE(testing::worst_difference(op, {randn(shape)}, dtype) < testing::tolerance(dtype));
      }
    }
  }
}

TEST_CASE("mse gives float32 for a narrow prediction and a gradient in its dtype", "[ops]") {
  at::Tensor prediction = at::randn({2, 6}).to(at::kBFloat16).requires_grad_(true);
  const at::Tensor losses = ops::mse(prediction, at::randn({2, 6}));
  REQUIRE(losses.scalar_type() == at::kFloat);
  REQUIRE(losses.sizes() == at::IntArrayRef({2}));
  losses.sum().backward();
  REQUIRE(prediction.grad().scalar_type() == at::kBFloat16);
}

TEST_CASE("mse of a batch is that of its samples, bit by bit", "[ops]") {
  const at::Tensor prediction = at::randn({5, 3, 50, 70}), target = at::randn({5, 3, 50, 70});
  const at::Tensor all = ops::mse(prediction, target);
  for (int64_t b = 0; b < 5; ++b)
    REQUIRE(at::equal(ops::mse(prediction.narrow(0, b, 1), target.narrow(0, b, 1)),
                      all.narrow(0, b, 1)));
}

TEST_CASE("mse differentiates by a target too, and names shapes that do not fit", "[ops]") {
  const at::Tensor prediction = at::randn({2, 6});
  at::Tensor target = at::randn({2, 6}).requires_grad_(true);
  ops::mse(prediction, target).sum().backward();
  REQUIRE(at::allclose(target.grad(), (target.detach() - prediction) / 3, 1e-5, 1e-6));
  REQUIRE_THROWS_WITH(ops::mse(prediction, at::randn({2, 5})),
                      Catch::Contains("prediction and target must have one shape"));
}

}  // namespace
}  // namespace titan
