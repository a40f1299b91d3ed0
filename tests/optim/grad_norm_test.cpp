#include "tests/support/catch.h"

#include <torch/nn/utils/clip_grad.h>

#include "titan/optim/grad_norm.h"

#include "titan/base/check.h"

#include "tests/optim/flat_model.h"

using titan::parallel::FlatUnit;
using titan::testing::FlatModel;

TEST_CASE("the gradient norm and the clip factor are PyTorch's", "[optim]") {
  FlatModel model(titan::testing::example_shapes());
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& gradient : model.values(&FlatUnit::grad)) {
    leaves.push_back(torch::zeros_like(gradient).requires_grad_());
    leaves.back().mutable_grad() = gradient.clone();
  }
  const double max_norm = GENERATE(0.5, 1e6);
  const double expected = torch::nn::utils::clip_grad_norm_(leaves, max_norm);
  const at::Tensor norm = titan::optim::global_grad_norm(model.flat());
  REQUIRE(norm.scalar_type() == torch::kFloat);
  REQUIRE(norm.item<double>() == Approx(expected).epsilon(1e-6));  // float32 sums on PyTorch's side
  const at::Tensor factor = titan::optim::clip_coefficient(norm, max_norm);
  const std::vector<at::Tensor> gradients = model.values(&FlatUnit::grad);
  REQUIRE(factor.item<double>() ==
          Approx(std::min(1.0, max_norm / (norm.item<double>() + 1e-6))).epsilon(2e-7));
  for (std::size_t i = 0; i < gradients.size(); ++i)  // PyTorch's float32 norm is off by 1e-6
    REQUIRE(torch::allclose(gradients[i] * factor, leaves[i].grad(), 3e-6, 0));
  if (max_norm > 1e5) REQUIRE(factor.item<float>() == 1.0F);
}

TEST_CASE("the gradient norm has the same bits on one thread and on two", "[optim]") {
  FlatModel model({{{"w", {1000, 1001}}}});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = titan::optim::global_grad_norm(model.flat());
  at::set_num_threads(2);
  const at::Tensor two = titan::optim::global_grad_norm(model.flat());
  at::set_num_threads(before);
  REQUIRE(torch::equal(one, two));
  const double exact = model.flat()[0].grad.to(torch::kDouble).norm().item<double>();
  REQUIRE(one.item<double>() == Approx(exact).epsilon(1e-7));
}

TEST_CASE("a reduction joins the parts of sharded gradients", "[optim]") {
  FlatModel model(titan::testing::example_shapes());
  const double whole = titan::optim::global_grad_norm(model.flat()).item<double>();
  // Four ranks with equal parts have twice the norm of one.
  const at::Tensor joined =
      titan::optim::global_grad_norm(model.flat(), [](const at::Tensor& sum) { sum.mul_(4); });
  REQUIRE(joined.item<double>() == Approx(2 * whole));
}

TEST_CASE("a norm that is zero or not finite is handled as PyTorch does", "[optim]") {
  const auto factor = [](double norm) {
    return titan::optim::clip_coefficient(torch::tensor(norm, torch::kFloat), 1.0).item<float>();
  };
  REQUIRE(factor(0) == 1.0F);
  REQUIRE(factor(std::numeric_limits<double>::infinity()) == 0.0F);
  REQUIRE(std::isnan(factor(std::nan(""))));
  REQUIRE_THROWS_AS(titan::optim::clip_coefficient(torch::tensor(1.0F), 0.0), titan::Error);
}
