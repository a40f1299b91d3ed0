#include "tests/support/catch.h"

#include "titan/ops/gelu_mlp.h"

#include <vector>

#include <torch/torch.h>

#include "tests/ops/op_testing.h"
#include "titan/metrics/flops.h"
#include "titan/ops/backend.h"
#include "titan/ops/gelu_mlp_choice.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using ops::detail::compare_ways;
using ops::detail::MlpWay;

/// x, W1, b1, W2, b2, of an MLP from 24 to 40 to 16.
std::vector<at::Tensor> inputs(at::IntArrayRef x_sizes, const at::TensorOptions& options) {
  torch::manual_seed(3);
  std::vector<at::Tensor> all = {torch::randn(x_sizes), torch::randn({40, 24}) * 0.3,
                                 torch::randn({40}), torch::randn({16, 40}) * 0.3,
                                 torch::randn({16})};
  for (at::Tensor& tensor : all) tensor = tensor.to(options).set_requires_grad(true);
  return all;
}

MlpWay way(at::Tensor (*function)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                  const at::Tensor&, const at::Tensor&)) {
  return [function](const std::vector<at::Tensor>& in) {
    return function(in[0], in[1], in[2], in[3], in[4]);
  };
}
const MlpWay in_epilogues = way(&ops::detail::gelu_mlp_in_epilogues);
const MlpWay apart = way(&ops::detail::gelu_mlp_apart);

TEST_CASE("an MLP by epilogues is the one of separate operations, gradients too", "[ops]") {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{8, 24}, {2, 3, 24}, {1, 24}}) {
    const std::vector<at::Tensor> in = inputs(sizes, torch::kFloat);
    const at::Tensor a = in_epilogues(in), b = apart(in);
    CHECK(a.sizes() == b.sizes());
    const at::Tensor seed = torch::randn(b.sizes());
    const auto of_a = torch::autograd::grad({a}, in, {seed}),
               of_b = torch::autograd::grad({b}, in, {seed});
    // 1e-5: sums of at most 40 float32 in another order, of values of about 1.
    CHECK(torch::allclose(a, b, 1e-5, 1e-5));
    for (std::size_t i = 0; i < of_b.size(); ++i) {
      INFO("input " << i);
      CHECK(torch::allclose(of_a[i], of_b[i], 1e-5, 1e-5));
    }
    const at::NoGradGuard no_grad;
    CHECK(torch::allclose(in_epilogues(in), b, 1e-5, 1e-5));
  }
}

TEST_CASE("gradients that nobody wants are left out of an MLP", "[ops]") {
  std::vector<at::Tensor> in = inputs({8, 24}, torch::kFloat);
  in[0].set_requires_grad(false);
  in[1].set_requires_grad(false);
  in[2].set_requires_grad(false);
  const auto found = torch::autograd::grad({in_epilogues(in).sum()}, {in[3], in[4]});
  const auto wanted = torch::autograd::grad({apart(in).sum()}, {in[3], in[4]});
  CHECK(torch::allclose(found[0], wanted[0], 1e-5, 1e-5));
  CHECK(torch::allclose(found[1], wanted[1], 1e-5, 1e-5));
}

TEST_CASE("an MLP's products are counted once, whichever way", "[ops]") {
  const std::vector<at::Tensor> in = inputs({8, 24}, torch::kFloat);
  const auto count = [&](const MlpWay& run) {
    const metrics::FlopCounter counter;
    torch::autograd::grad({run(in).sum()}, in);
    return counter.counted().model;
  };
  CHECK(count(in_epilogues) == 3 * 2 * 8 * (24 * 40 + 40 * 16));
  CHECK(count(apart) == count(in_epilogues));
}

TEST_CASE("a way is taken on proof alone", "[ops]") {
  const std::vector<at::Tensor> in = inputs({8, 24}, torch::kFloat);
  const auto good = compare_ways(in_epilogues, apart, in, 1e-4);
  CHECK(good.refusal.empty());
  CHECK((good.candidate_s > 0 && good.plain_s > 0));
  const auto throws = [](const std::vector<at::Tensor>&) -> at::Tensor {
    throw std::runtime_error("no product with this epilogue\nmore");
  };
  CHECK(compare_ways(throws, apart, in, 1e-4).refusal == "no product with this epilogue");
  const auto wrong = [](const std::vector<at::Tensor>& x) { return apart(x) * 1.01; };
  CHECK_THAT(compare_ways(wrong, apart, in, 1e-3).refusal, Contains("the result is"));
  // The right result with a gradient that comes from nowhere.
  const auto detached = [](const std::vector<at::Tensor>& x) {
    return apart(x) + (apart(x) - apart(x).detach());
  };
  CHECK_THAT(compare_ways(detached, apart, in, 1e-3).refusal, Contains("a gradient is"));
  const auto nan = [](const std::vector<at::Tensor>& x) { return apart(x) * NAN; };
  CHECK_FALSE(compare_ways(nan, apart, in, 1e-3).refusal.empty());
}

TEST_CASE("on the CPU the operations stay apart", "[ops]") {
  const std::vector<at::Tensor> in = inputs({8, 24}, torch::kBFloat16);
  CHECK_FALSE(ops::detail::epilogues_possible(in[0], in[1], in[2], in[3], in[4]));
}

TEST_CASE("cublasLt's epilogues make the MLP of separate operations", "[cuda]") {
  if (!testing::has_cuda() ||
      !ops::use_fused(torch::empty({1}, torch::kCUDA), "titan::linear_gelu"))
    TITAN_SKIP("no GPU, or no titan kernels for it");
  for (const int64_t rows : {1, 8, 200}) {
    const std::vector<at::Tensor> in =
        inputs({rows, 24}, at::TensorOptions().device(torch::kCUDA).dtype(torch::kBFloat16));
    CHECK(ops::detail::epilogues_possible(in[0], in[1], in[2], in[3], in[4]));
    CHECK(compare_ways(in_epilogues, apart, in, 0.03).refusal.empty());
  }
}

}  // namespace
}  // namespace titan
