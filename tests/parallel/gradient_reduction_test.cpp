#include "tests/support/catch.h"

#include "titan/parallel/gradient_reduction.h"

#include "titan/base/check.h"

using titan::parallel::FlatParameters;
using titan::parallel::GradientReduction;

TEST_CASE("Unused parameters count as zero, and bfloat16 gradients are summed in float32",
          "[parallel]") {
  const at::Tensor used = torch::zeros({4}).requires_grad_();
  const at::Tensor unused = torch::zeros({4}).requires_grad_();
  FlatParameters flat(
      {{.name = "embed", .parameter_names = {"used", "unused"}, .parameters = {used, unused}}},
      {.compute_dtype = at::kBFloat16});
  flat.units()[0].grad.fill_(99.0);  // left over from an earlier step
  GradientReduction hooks(flat, {}, {});
  hooks.begin_step(3);
  for (int64_t i = 0; i < 3; ++i) {
    hooks.begin_micro_batch(i);
    // 256 + 0.5 is not a bfloat16: the sum must be taken in float32.
    hooks.add(0, {torch::full({4}, i == 0 ? 256.0 : 0.25, at::kBFloat16), at::Tensor()});
  }
  hooks.finish();
  const auto& unit = flat.units()[0];
  REQUIRE(torch::equal(titan::parallel::fragment_view(unit.grad, unit.fragments[0]),
                       torch::full({4}, 256.5)));
  REQUIRE(torch::equal(titan::parallel::fragment_view(unit.grad, unit.fragments[1]),
                       torch::zeros({4})));
}

TEST_CASE("GradientReduction refuses steps out of order", "[parallel]") {
  using Catch::Matchers::Contains;
  const auto leaf = [] { return torch::zeros({4}).requires_grad_(); };
  FlatParameters flat({{.name = "embed", .parameter_names = {"a"}, .parameters = {leaf()}},
                       {.name = "head", .parameter_names = {"b"}, .parameters = {leaf()}}},
                      {});
  GradientReduction hooks(flat, {}, {});
  REQUIRE_THROWS_WITH(hooks.begin_step(0), Contains("at least one micro-batch"));
  hooks.begin_step(2);
  REQUIRE_THROWS_WITH(hooks.begin_micro_batch(1), Contains("micro-batches come in order"));
  hooks.begin_micro_batch(0);
  REQUIRE_THROWS_WITH(hooks.add(0, {torch::ones({4})}),
                      Contains("from the last unit to the first"));
  REQUIRE_THROWS_WITH(hooks.add(1, {}), Contains("one gradient per parameter"));
  REQUIRE_THROWS_WITH(hooks.finish(), Contains("after its last backward"));
}
