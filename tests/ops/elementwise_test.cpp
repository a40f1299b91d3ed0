#include "tests/support/catch.h"

#include "titan/ops/residual.h"
#include "titan/ops/rope.h"
#include "titan/ops/swiglu.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using kernels::cpu::SimdLevel;
using testing::randn;
using testing::Tensors;

TEST_CASE("swiglu agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(1);
  const auto op = [](const Tensors& in) -> Tensors { return {ops::swiglu(in[0], in[1])}; };
  for (const SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    const testing::SimdScope scope(level);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const std::vector<int64_t>& shape :
           {std::vector<int64_t>{1}, std::vector<int64_t>{3, 17},
            std::vector<int64_t>{2, 100, 333}}) {
        CAPTURE(shape, c10::toString(dtype));
        REQUIRE(testing::worst_difference(op, {randn(shape) * 4, randn(shape)}, dtype) <
                testing::tolerance(dtype));
      }
    }
  }
}

TEST_CASE("swiglu is finite and right for large arguments, and keeps NaN", "[ops]") {
  const at::Tensor a = at::tensor({-1e30F, -200.0F, -88.0F, 0.0F, 88.0F, 200.0F, 1e30F});
  const at::Tensor out = ops::swiglu(a, at::ones_like(a));
  REQUIRE(
      at::allclose(out, at::tensor({0.0F, 0.0F, 0.0F, 0.0F, 88.0F, 200.0F, 1e30F}), 1e-6, 1e-6));
  REQUIRE(ops::swiglu(at::full({3}, NAN), at::ones({3})).isnan().all().item<bool>());
}

TEST_CASE("rope agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(2);
  const at::Tensor angle = at::randn({9, 6});
  const at::Tensor table = at::stack({angle.cos(), angle.sin()}, -1);
  const auto op = [&](const Tensors& in) -> Tensors { return {ops::rope(in[0], table)}; };
  for (const SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    const testing::SimdScope scope(level);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      REQUIRE(testing::worst_difference(op, {randn({3, 9, 5, 12})}, dtype) <
              testing::tolerance(dtype));
    }
  }
}

TEST_CASE("rope keeps lengths and names shapes that do not fit", "[ops]") {
  const at::Tensor angle = at::randn({4, 8});
  const at::Tensor table = at::stack({angle.cos(), angle.sin()}, -1);
  const at::Tensor x = at::randn({2, 4, 3, 16});
  REQUIRE(at::allclose(ops::rope(x, table).norm(2, -1), x.norm(2, -1), 1e-5));
  REQUIRE_THROWS_WITH(ops::rope(at::randn({2, 5, 3, 16}), table),
                      Catch::Contains("table must be [N, D_head / 2, 2]"));
}

TEST_CASE("gated_residual agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(3);
  const auto gated = [](const Tensors& in) -> Tensors {
    return {ops::gated_residual(in[0], in[1], in[2])};
  };
  const auto plain = [](const Tensors& in) -> Tensors {
    return {ops::gated_residual(in[0], in[1], {})};
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Tensors inputs = {randn({3, 40, 33}), randn({3, 40, 33}), randn({3, 33})};
    REQUIRE(testing::worst_difference(gated, inputs, dtype) < testing::tolerance(dtype));
    REQUIRE(testing::worst_difference(plain, {inputs[0], inputs[1]}, dtype) <
            testing::tolerance(dtype));
  }
}

}  // namespace
}  // namespace titan
