#include "tests/support/catch.h"

#include "titan/parallel/gradient_reduction.h"

#include "titan/base/check.h"
#include "titan/kernels/gemm.h"
#include "titan/ops/linear.h"

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

namespace {

using Use = at::Tensor (*)(const at::Tensor& x, const at::Tensor& weight);

/// The gradients of two micro-batches through `use`, added up by GradientReduction; `in_place`
/// tells for each whether it lay in the buffer before it was added.
at::Tensor gradient_of_two(Use use, const at::Tensor& values, const at::Tensor& x,
                           bool in_place[2]) {
  const at::Tensor weight = values.clone().requires_grad_();
  FlatParameters flat({{.name = "embed", .parameter_names = {"weight"}, .parameters = {weight}}},
                      {});
  flat.units()[0].grad.fill_(99.0);  // left over from an earlier step
  GradientReduction hooks(flat, {}, {});
  hooks.begin_step(2);
  for (int64_t i = 0; i < 2; ++i) {
    hooks.begin_micro_batch(i);
    const at::Tensor out = use(x[i], weight);
    hooks.offer_places(0);
    const auto found = torch::autograd::grad({out}, {weight}, {out.detach().cos()});
    in_place[i] = found[0].const_data_ptr() == flat.units()[0].grad.const_data_ptr();
    hooks.add(0, found);
  }
  hooks.finish();
  return flat.units()[0].grad.clone().narrow(0, 0, weight.numel()).view(weight.sizes());
}

}  // namespace

TEST_CASE("A weight's gradient is written where it belongs, if it is the whole gradient",
          "[parallel]") {
  at::manual_seed(1);
  const at::Tensor x = at::randn({2, 40, 48}), values = at::randn({48, 48}) / 7;
  const Use once = [](const at::Tensor& in, const at::Tensor& weight) {
    return titan::ops::linear(in, weight, {});
  };
  const Use twice = [](const at::Tensor& in, const at::Tensor& weight) {
    return titan::ops::linear(titan::ops::linear(in, weight, {}).tanh(), weight, {});
  };
  const Use turned = [](const at::Tensor& in, const at::Tensor& weight) {
    return titan::ops::linear(in, weight.t(), {});
  };
  const Use both = [](const at::Tensor& in, const at::Tensor& weight) {
    return titan::ops::linear(in, weight, {}) * titan::ops::linear(in, weight.t(), {});
  };
  const bool ours = titan::kernels::cpu::gemm_pays(40, 48, 48);
  for (const Use use : {once, twice, turned, both}) {
    at::Tensor expected = at::zeros({48, 48}, at::kDouble);
    for (int64_t i = 0; i < 2; ++i) {
      const at::Tensor weight = values.to(at::kDouble).requires_grad_();
      const at::Tensor out = use(x[i].to(at::kDouble), weight);  // LibTorch's: not float32
      expected += torch::autograd::grad({out}, {weight}, {out.detach().cos()})[0];
    }
    bool in_place[2] = {};
    const at::Tensor sum = gradient_of_two(use, values, x, in_place);
    REQUIRE(torch::allclose(sum.to(at::kDouble), expected, 1e-4, 1e-4));
    REQUIRE(in_place[0] == (ours && use == once));
    REQUIRE_FALSE(in_place[1]);  // added to the first
  }
}
