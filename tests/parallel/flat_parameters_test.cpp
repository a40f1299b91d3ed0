#include "tests/support/catch.h"

#include "titan/parallel/flat_parameters.h"
#include "titan/parallel/unit_gather.h"

#include <cstdint>

#include "titan/base/check.h"

using titan::ModelUnit;
using titan::parallel::FlatParameters;
using titan::parallel::FlatUnit;
using titan::parallel::fragment_view;
using titan::parallel::UnitGather;

namespace {

std::vector<ModelUnit> two_units() {
  torch::manual_seed(7);
  const auto leaf = [](at::IntArrayRef shape) { return torch::randn(shape).requires_grad_(); };
  return {{.name = "embed", .parameter_names = {"a", "b"}, .parameters = {leaf({3, 5}), leaf({7})}},
          {.name = "block.0", .parameter_names = {"c"}, .parameters = {leaf({4, 4})}},
          {.name = "head", .parameter_names = {}, .parameters = {}}};
}

}  // namespace

TEST_CASE("FlatParameters keeps values and turns leaves into aligned views", "[parallel]") {
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::vector<ModelUnit> units = two_units();
  std::vector<at::Tensor> before;
  for (const ModelUnit& unit : units)
    for (const at::Tensor& leaf : unit.parameters) before.push_back(leaf.detach().clone());
  FlatParameters flat(units, {.compute_dtype = dtype});
  UnitGather gather(flat, {}, {.num_units = 3});
  for (std::size_t u = 0; u < 3; ++u) gather.before_forward(u);

  REQUIRE(flat.num_parameters() == 15 + 7 + 16);
  REQUIRE(flat.units().size() == 3);
  std::size_t number = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const FlatUnit& unit = flat.units()[u];
    REQUIRE(unit.name == units[u].name);
    REQUIRE(unit.master.numel() == unit.grad.numel());
    for (std::size_t i = 0; i < unit.fragments.size(); ++i, ++number) {
      const at::Tensor& leaf = units[u].parameters[i];
      REQUIRE(leaf.is_leaf());
      REQUIRE(leaf.requires_grad());
      REQUIRE(leaf.scalar_type() == dtype);
      REQUIRE(reinterpret_cast<std::uintptr_t>(leaf.data_ptr()) % 64 == 0);
      REQUIRE(unit.fragments[i].shape == leaf.sizes().vec());
      REQUIRE(torch::equal(leaf.detach(), before[number].to(dtype)));
      REQUIRE(torch::equal(fragment_view(unit.master, unit.fragments[i]),
                           before[number].reshape({-1})));
    }
  }
}

TEST_CASE("FlatParameters' padding stays zero and gradients lie end to end", "[parallel]") {
  FlatParameters flat(two_units());
  const FlatUnit& first = flat.units()[0];
  REQUIRE(first.master.numel() == 64);  // 15 -> 32, 7 -> 32
  REQUIRE(first.master[15].item<float>() == 0.0F);
  REQUIRE(first.master.narrow(0, 39, 25).abs().sum().item<float>() == 0.0F);
  REQUIRE(flat.gradients().numel() == 96);
  REQUIRE(flat.units()[1].grad.data_ptr() == flat.gradients().narrow(0, 64, 32).data_ptr());
}

TEST_CASE(
    "Leaves differentiate through their flat storage, and writes between steps do not break a "
    "graph",
    "[parallel]") {
  const std::vector<ModelUnit> units = two_units();
  const at::Tensor weight = units[1].parameters[0];
  FlatParameters flat(units);
  const at::Tensor x = torch::randn({2, 4}).requires_grad_();
  const at::Tensor expected = torch::autograd::grad({(x.matmul(weight.detach())).sum()}, {x})[0];
  const at::Tensor y = x.matmul(weight).sum();
  const auto version = weight._version();
  const auto gradients = torch::autograd::grad({y}, {x, weight});
  REQUIRE(torch::allclose(gradients[0], expected));
  REQUIRE(torch::allclose(gradients[1], x.detach().sum(0).unsqueeze(1).expand({4, 4})));
  {
    const torch::NoGradGuard no_grad;
    flat.units()[1].master.add_(1.0);  // an optimizer step
  }
  REQUIRE(weight._version() == version);
  REQUIRE(torch::allclose(weight.detach().reshape({-1}), flat.units()[1].master.narrow(0, 0, 16)));
  REQUIRE(torch::autograd::grad({(x.matmul(weight)).sum()}, {weight})[0].defined());
}

TEST_CASE("changed master weights reach the model rounded to bfloat16", "[parallel]") {
  const std::vector<ModelUnit> units = two_units();
  FlatParameters flat(units, {.compute_dtype = at::kBFloat16});
  UnitGather gather(flat, {}, {.num_units = 3});
  gather.before_forward(0);
  {
    const torch::NoGradGuard no_grad;
    flat.units()[0].master.mul_(3.0);
  }
  flat.weights_changed();
  gather.before_forward(0);
  const FlatUnit& unit = flat.units()[0];
  REQUIRE(torch::equal(units[0].parameters[0].detach().reshape({-1}),
                       fragment_view(unit.master, unit.fragments[0]).to(at::kBFloat16)));
}

TEST_CASE("leaves' version counters rise with new weights and not when a unit is gathered again",
          "[parallel]") {
  const bool resident = GENERATE(true, false);
  const std::vector<ModelUnit> units = two_units();
  const at::Tensor leaf = units[1].parameters[0];
  FlatParameters flat(units, {.compute_dtype = at::kBFloat16, .resident = resident});
  UnitGather gather(flat, {}, {.num_units = 3});
  const auto pass = [&] {
    gather.begin_pass(/*with_backward=*/true);
    for (std::size_t u = 0; u < 3; ++u) {
      gather.before_forward(u);
      gather.after_forward(u);
    }
    for (std::size_t u = 3; u-- > 0;) {
      gather.before_backward(u);
      gather.after_backward(u);
    }
    return leaf._version();
  };
  const auto first = pass();
  REQUIRE(pass() == first);
  flat.weights_changed();
  const auto second = pass();
  REQUIRE(second > first);
  REQUIRE(pass() == second);
}

TEST_CASE("FlatParameters refuses parameters it cannot take over", "[parallel]") {
  std::vector<ModelUnit> half = {
      {.name = "embed", .parameter_names = {"w"}, .parameters = {torch::ones({2}, at::kHalf)}}};
  REQUIRE_THROWS_WITH(FlatParameters{half},
                      Catch::Matchers::Contains("must be float32 (w is Half)"));
}
