#include "tests/support/catch.h"

#include "titan/ops/attention.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using testing::randn;
using testing::Tensors;

struct Shape {
  int64_t batch, queries, keys, heads, kv_heads, head_dim;
};

TEST_CASE("attention agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(1);
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  // One query, sizes that fill no block, several blocks of rows, grouped queries, other than
  // 16-fold head widths.
  for (const Shape& s :
       {Shape{1, 1, 2, 1, 1, 4}, Shape{2, 17, 17, 3, 3, 12}, Shape{1, 70, 70, 2, 2, 48},
        Shape{2, 33, 33, 4, 2, 16}, Shape{1, 200, 200, 2, 1, 64}, Shape{1, 9, 40, 2, 2, 20}}) {
    const Tensors inputs = {randn({s.batch, s.queries, s.heads, s.head_dim}) * 2,
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim}) * 2,
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim})};
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      CAPTURE(s.batch, s.queries, s.keys, s.heads, s.kv_heads, s.head_dim, c10::toString(dtype));
      // bfloat16: LibTorch's kernel rounds the probabilities too.
      REQUIRE(testing::worst_difference(op, inputs, dtype) < (dtype == at::kFloat ? 1e-5 : 4e-2));
    }
  }
}

TEST_CASE("attention at every vector width agrees with float64", "[ops]") {
  at::manual_seed(2);
  const Tensors inputs = {randn({2, 75, 4, 20}), randn({2, 75, 2, 20}), randn({2, 75, 2, 20})};
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  for (const auto level : {kernels::cpu::SimdLevel::kBaseline, kernels::cpu::SimdLevel::kAvx2,
                           kernels::cpu::SimdLevel::kAvx512}) {
    const testing::SimdScope scope(level);
    REQUIRE(testing::worst_difference(op, inputs, at::kFloat) < 1e-5);
  }
}

TEST_CASE("attention stays finite for scores far apart", "[ops]") {
  at::manual_seed(3);
  at::Tensor q = at::randn({1, 20, 1, 16});
  q = 400 * q / q.norm(2, -1, /*keepdim=*/true);  // of one length, so each is nearest to itself
  const at::Tensor v = at::randn({1, 20, 1, 16});
  const at::Tensor out = ops::attention(q, q, v);
  REQUIRE(out.isfinite().all().item<bool>());
  REQUIRE(at::allclose(out, v, 1e-4, 1e-4));  // each query sees itself alone
}

TEST_CASE("attention names shapes that do not fit", "[ops]") {
  const at::Tensor q = at::randn({1, 4, 3, 8});
  REQUIRE_THROWS_WITH(ops::attention(q, at::randn({1, 4, 2, 8}), at::randn({1, 4, 2, 8})),
                      Catch::Contains("H_kv dividing H"));
}

}  // namespace
}  // namespace titan
