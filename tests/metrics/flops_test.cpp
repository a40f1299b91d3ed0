#include "tests/support/catch.h"

#include "titan/metrics/flops.h"

#include "titan/models/dit/flops.h"
#include "titan/ops/float8_linear.h"

#include "tests/dit/dit_testing.h"

namespace titan {
namespace {

// The look-up of a class on the meta device: LibTorch has these two shape functions in Python
// alone.
at::Tensor index_select_shape(const at::Tensor& table, int64_t dim, const at::Tensor& index) {
  std::vector<int64_t> shape = table.sizes().vec();
  shape[dim] = index.numel();
  return at::empty(shape, table.options());
}
at::Tensor embedding_backward_shape(const at::Tensor& grad, const at::Tensor&, int64_t rows,
                                    int64_t, bool) {
  return at::empty({rows, grad.size(-1)}, grad.options());
}
TORCH_LIBRARY_IMPL(aten, Meta, m) {
  m.impl("index_select", TORCH_FN(index_select_shape));
  m.impl("embedding_dense_backward", TORCH_FN(embedding_backward_shape));
}

using metrics::CountedFlops;
using metrics::FlopCounter;

template <class Work>
CountedFlops count(Work&& work) {
  const FlopCounter counter;
  work();
  return counter.counted();
}

TEST_CASE("a product in 8 bits counts as the product it stands for", "[metrics]") {
  const at::Tensor x = at::randn({2, 9, 32}).requires_grad_(),
                   w = at::randn({48, 32}).requires_grad_();
  const auto layer = [&] { return ops::float8_linear(x, w, {}, {.emulate = true}); };
  const int64_t forward = 2 * 18 * 32 * 48;
  REQUIRE(count(layer).model == forward);
  REQUIRE(count([&] { layer().sum().backward(); }).model == 3 * forward);
}

TEST_CASE("matrix products are counted once, whatever calls them", "[metrics]") {
  const at::Tensor a = at::randn({3, 4}), b = at::randn({4, 5}), bias = at::randn({5});
  REQUIRE(count([&] { at::mm(a, b); }).model == 2 * 3 * 4 * 5);
  REQUIRE(count([&] { at::linear(a, b.t(), bias); }).model == 2 * 3 * 4 * 5);
  REQUIRE(count([&] { at::matmul(at::randn({2, 7, 3, 4}), b); }).model == 2 * 14 * 3 * 4 * 5);
  REQUIRE(count([&] { at::bmm(at::randn({6, 3, 4}), at::randn({6, 4, 5})); }).model == 6 * 2 * 60);
  REQUIRE(count([&] {
            at::conv2d(at::randn({2, 3, 8, 8}), at::randn({6, 3, 2, 2}), {}, 2);
          }).model == 2 * 2 * 16 * 6 * 12);
  REQUIRE(count([&] { at::relu(a); }).model == 0);
}

TEST_CASE("backward is twice forward, a convolution's too", "[metrics]") {
  const at::Tensor x = at::randn({2, 4, 6, 6}).requires_grad_(true);
  const at::Tensor weight = at::randn({8, 4, 3, 3}).requires_grad_(true);
  at::Tensor out;
  const int64_t forward = count([&] { out = at::conv2d(x, weight, {}, 1, 1); }).model;
  REQUIRE(forward == 2 * 2 * 36 * 8 * 4 * 9);
  REQUIRE(count([&] { out.sum().backward(); }).model == 2 * forward);
}

TEST_CASE("fused attention's repeated scores are counted apart", "[metrics]") {
  const at::Tensor q = at::randn({2, 3, 10, 8}).requires_grad_(true);
  at::Tensor out;
  const CountedFlops forward = count([&] { out = at::scaled_dot_product_attention(q, q, q); });
  const int64_t one = 2 * 2 * 3 * 10 * 10 * 8;
  REQUIRE(forward.model == 2 * one);
  const CountedFlops backward = count([&] { out.sum().backward(); });
  REQUIRE(backward.model == 4 * one);
  REQUIRE(backward.recompute == one);
}

TEST_CASE("there is one counter at a time", "[metrics]") {
  const FlopCounter counter;
  REQUIRE_THROWS_WITH(FlopCounter(), Catch::Contains("one counter at a time"));
}

struct StepFlops {
  CountedFlops forward, step;
};
StepFlops count_step(const models::DitConfig& config, const std::vector<int64_t>& image,
                     at::Device device) {
  const at::TensorOptions options = at::TensorOptions().device(device);
  models::Dit model(config, options);
  if (device.is_cpu()) {
    const torch::NoGradGuard no_grad;
    for (const at::Tensor& parameter : model.parameters()) parameter.normal_(0.0, 0.1);
  }
  const at::Tensor x = at::zeros({1, config.in_channels, image[0], image[1]}, options);
  const at::Tensor t = at::zeros({1}, options);
  Conditioning condition;
  condition.set("label", at::zeros({1}, options.dtype(at::kLong)));
  const FlopCounter counter;
  BlockState state = model.embed(x, t, condition);
  for (const std::shared_ptr<Block>& block : model.blocks()) state = block->forward(state);
  const at::Tensor out = model.head(state, x.sizes());
  StepFlops flops;
  flops.forward = counter.counted();
  out.square().mean().backward();
  flops.step = counter.counted();
  return flops;
}

TEST_CASE("the counter agrees with the golden counts of every DiT flavor", "[golden]") {
  const auto cases = testing::golden_cases("dit", "flavors");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  ops::set_backend(
      ops::Backend::kReference);  // plain ATen runs on the meta device: shapes without numbers
  for (const auto& path : cases) {
    const nlohmann::json json = testing::load_golden(path).json;
    REQUIRE(!json.at("flavors").empty());
    for (const nlohmann::json& row : json.at("flavors")) {
      INFO(row.at("flavor") << " patch " << row.at("patch_size") << " image "
                            << row.at("image_size"));
      const auto image = row.at("image_size").get<std::vector<int64_t>>();
      const StepFlops flops = count_step(testing::dit_config(row), image, at::kMeta);
      REQUIRE(flops.forward.model == row.at("counter_forward").get<int64_t>());
      REQUIRE(flops.step.model == row.at("counter_forward_backward").get<int64_t>());
    }
  }
  ops::set_backend(ops::Backend::kFused);
}

TEST_CASE("the counter agrees with the formula for a DiT with fused kernels", "[metrics]") {
  models::DitConfig config;
  config.dim = 32;
  config.n_layers = 2;
  config.n_heads = 2;
  config.multiple_of = 16;
  config.in_channels = 3;
  config.num_classes = 4;
  for (const std::string mode : {"adaLN", "context"}) {
    config.condition_mode = mode;
    const models::DitFlops formula = models::dit_flops(config, 8, 12);
    const StepFlops flops = count_step(config, {8, 12}, at::kCPU);
    REQUIRE(flops.forward.model == formula.forward());
    // Nobody needs the gradients of the picture and of the time's sinusoid.
    REQUIRE(flops.step.model ==
            3 * formula.forward() - formula.patch_embedding - 2 * 256 * config.dim);
    REQUIRE(flops.step.recompute == formula.attention / 2);
  }
}

}  // namespace
}  // namespace titan
