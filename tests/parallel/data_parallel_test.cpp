#include "tests/support/catch.h"

#include "titan/parallel/data_parallel.h"

#include <algorithm>

#include "titan/base/check.h"
#include "titan/parallel/parallelize.h"

#include "tests/support/ranks.h"

using titan::Block;
using titan::BlockState;
using titan::Conditioning;
using titan::Model;
using titan::parallel::Communicator;
using titan::parallel::DataParallel;
using titan::parallel::FlatParameters;

namespace {

constexpr int64_t kGlobalBatch = 12;

struct TinyBlock : Block {
  explicit TinyBlock(int64_t width)
      : linear(register_module("linear", torch::nn::Linear(width, width))) {
    never_used = register_parameter("never_used", torch::ones({5}));
  }
  BlockState forward(BlockState state) override {
    state.x = state.x + torch::tanh(linear(state.x));
    return state;
  }
  torch::nn::Linear linear;
  at::Tensor never_used;
};

struct TinyModel : Model {
  TinyModel() {
    in = register_module("in", torch::nn::Linear(3, 8));
    layers = {register_module("b0", std::make_shared<TinyBlock>(8)),
              register_module("b1", std::make_shared<TinyBlock>(8))};
    out = register_module("out", torch::nn::Linear(8, 3));
  }
  BlockState embed(const at::Tensor& x, const at::Tensor&, const Conditioning&) override {
    BlockState state;
    state.x = in(x);
    return state;
  }
  std::vector<std::shared_ptr<Block>> blocks() const override {
    return {layers.begin(), layers.end()};
  }
  at::Tensor head(const BlockState& state, at::IntArrayRef) override { return out(state.x); }
  std::vector<std::string> head_parameters() const override { return {"out.weight", "out.bias"}; }
  void initialize_parameter(std::uint64_t seed, const std::string& name,
                            const titan::init::Slice& parameter) override {
    titan::init::normal_(parameter, {seed, name}, 0.5);
  }
  torch::nn::Linear in{nullptr}, out{nullptr};
  std::vector<std::shared_ptr<TinyBlock>> layers;
};

at::Tensor inputs() {
  return torch::sin(torch::arange(kGlobalBatch * 3).to(at::kFloat)).view({-1, 3});
}

/// Gradients of the mean loss over the global batch, by one plain backward.
at::Tensor reference_gradients() {
  const auto model = std::make_shared<TinyModel>();
  model->initialize(3);
  const std::vector<titan::ModelUnit> units = titan::split_into_units(*model);
  BlockState state = model->embed(inputs(), {}, {});
  for (const auto& block : model->blocks()) state = block->forward(state);
  model->head(state, {}).square().sum().div(kGlobalBatch).backward();
  FlatParameters flat(units, at::kFloat);
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (std::size_t i = 0; i < units[u].parameters.size(); ++i) {
      const at::Tensor& gradient = units[u].parameters[i].grad();
      if (gradient.defined())
        titan::parallel::fragment_view(flat.units()[u].grad, flat.units()[u].fragments[i])
            .copy_(gradient.reshape({-1}));
    }
  }
  return flat.gradients().clone();
}

/// Two steps on this rank's share (the second must not see the first); the flat gradients
/// afterwards.
at::Tensor share_gradients(Communicator& communicator, int64_t accumulation, int64_t bucket_bytes) {
  const auto model = std::make_shared<TinyModel>();
  model->initialize(3);
  FlatParameters flat(titan::split_into_units(*model), at::kFloat);
  DataParallel hooks(flat, communicator, {.bucket_bytes = bucket_bytes});
  const titan::parallel::DeviceMesh mesh({.dp_replicate = communicator.size()},
                                         communicator.rank());
  const auto runner = titan::parallel::default_parallelize(model, mesh, {}, &hooks).value();
  const int64_t micro = kGlobalBatch / communicator.size() / accumulation;
  for (int step = 0; step < 2; ++step) {
    hooks.begin_step(accumulation);
    for (int64_t i = 0; i < accumulation; ++i) {
      hooks.begin_micro_batch(i);
      const at::Tensor x = inputs().narrow(0, (mesh.dp_rank() * accumulation + i) * micro, micro);
      runner->forward_backward(x, torch::zeros({micro}), {}, [](const at::Tensor& prediction) {
        return prediction.square().sum().div(kGlobalBatch);
      });
    }
    hooks.finish();
  }
  return flat.gradients().clone();
}

}  // namespace

TEST_CASE("Any split of the global batch gives the gradients of one backward", "[parallel]") {
  const int ranks = GENERATE(1, 2, 3);
  const int64_t accumulation = GENERATE(1, 2);
  const int64_t bucket_bytes = GENERATE(1, 500, 25 << 20);  // each unit, some together, all at once
  const at::Tensor expected = reference_gradients();
  std::vector<at::Tensor> actual(static_cast<std::size_t>(ranks));
  titan::testing::run_ranks(ranks, [&](Communicator& communicator) {
    actual[static_cast<std::size_t>(communicator.rank())] =
        share_gradients(communicator, accumulation, bucket_bytes);
  });
  INFO("ranks " << ranks << ", accumulation " << accumulation << ", bucket " << bucket_bytes);
  REQUIRE(expected.abs().max().item<float>() > 0.1F);
  // 1e-6 of the largest gradient: float32 sums of 12 samples in another order.
  const double tolerance = 1e-6 * expected.abs().max().item<double>();
  for (const at::Tensor& gradients : actual) {
    REQUIRE((gradients - expected).abs().max().item<double>() <= tolerance);
    REQUIRE(torch::equal(gradients, actual.front()));  // ranks must not drift apart
  }
}

TEST_CASE("Unused parameters count as zero, and bfloat16 gradients are summed in float32",
          "[parallel]") {
  const at::Tensor used = torch::zeros({4}).requires_grad_();
  const at::Tensor unused = torch::zeros({4}).requires_grad_();
  FlatParameters flat(
      {{.name = "embed", .parameter_names = {"used", "unused"}, .parameters = {used, unused}}},
      at::kBFloat16);
  flat.units()[0].grad.fill_(99.0);  // left over from an earlier step
  Communicator alone;
  DataParallel hooks(flat, alone);
  hooks.begin_step(3);
  for (int64_t i = 0; i < 3; ++i) {
    hooks.begin_micro_batch(i);
    // 256 + 0.5 is not a bfloat16: the sum must be taken in float32.
    hooks.gradients_ready(0,
                          {torch::full({4}, i == 0 ? 256.0 : 0.25, at::kBFloat16), at::Tensor()});
  }
  hooks.finish();
  const auto& unit = flat.units()[0];
  REQUIRE(torch::equal(titan::parallel::fragment_view(unit.grad, unit.fragments[0]),
                       torch::full({4}, 256.5)));
  REQUIRE(torch::equal(titan::parallel::fragment_view(unit.grad, unit.fragments[1]),
                       torch::zeros({4})));
}

TEST_CASE("DataParallel refuses steps out of order", "[parallel]") {
  using Catch::Matchers::Contains;
  const auto leaf = [] { return torch::zeros({4}).requires_grad_(); };
  FlatParameters flat({{.name = "embed", .parameter_names = {"a"}, .parameters = {leaf()}},
                       {.name = "head", .parameter_names = {"b"}, .parameters = {leaf()}}},
                      at::kFloat);
  Communicator alone;
  DataParallel hooks(flat, alone);
  REQUIRE_THROWS_WITH(hooks.begin_step(0), Contains("at least one micro-batch"));
  hooks.begin_step(2);
  REQUIRE_THROWS_WITH(hooks.begin_micro_batch(1), Contains("micro-batches come in order"));
  hooks.begin_micro_batch(0);
  REQUIRE_THROWS_WITH(hooks.gradients_ready(0, {torch::ones({4})}),
                      Contains("from the last unit to the first"));
  REQUIRE_THROWS_WITH(hooks.gradients_ready(1, {}), Contains("one gradient per parameter"));
  REQUIRE_THROWS_WITH(hooks.finish(), Contains("after its last backward"));
}
