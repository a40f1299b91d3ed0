#include "tests/support/catch.h"

#include "titan/parallel/engine.h"

#include "titan/base/check.h"
#include "titan/protocols/init.h"

#include "tests/support/mesh_training.h"
#include "tests/support/ranks.h"

using titan::Block;
using titan::BlockState;
using titan::Conditioning;
using titan::Model;
using titan::parallel::ParallelDims;
using titan::testing::largest_difference;
using titan::testing::Layout;
using titan::testing::MeshResult;
using titan::testing::MeshTraining;

namespace {

constexpr int64_t kWidth = 13;  // odd: no number of ranks divides it

struct TinyBlock : Block {
  TinyBlock(int64_t width, const at::TensorOptions& options) {
    weight = register_parameter("weight", at::empty({width, width}, options));
    bias = register_parameter("bias", at::empty({width}, options));
    never_used = register_parameter("never_used", at::empty({5}, options));
    frozen = register_parameter("frozen", at::empty({width}, options), /*requires_grad=*/false);
  }
  BlockState forward(BlockState state) override {
    state.x = state.x + torch::tanh(at::linear(state.x, weight, bias) * (1 + frozen));
    return state;
  }
  at::Tensor weight, bias, never_used, frozen;
};

/// Blocks of different sizes, an unused parameter in each, a frozen one in each, and embed frozen
/// as a whole.
struct TinyModel : Model {
  explicit TinyModel(at::Device device) {
    const auto options = at::TensorOptions().device(device);
    in = register_parameter("in", at::empty({kWidth, 3}, options), /*requires_grad=*/false);
    for (int i = 0; i < 3; ++i)
      layers.push_back(
          register_module("b" + std::to_string(i), std::make_shared<TinyBlock>(kWidth, options)));
    out = register_parameter("out", at::empty({3, kWidth}, options));
  }
  BlockState embed(const at::Tensor& x, const at::Tensor&, const Conditioning&) override {
    BlockState state;
    state.x = at::linear(x.to(in.scalar_type()), in).requires_grad_();
    return state;
  }
  std::vector<std::shared_ptr<Block>> blocks() const override {
    return {layers.begin(), layers.end()};
  }
  at::Tensor head(const BlockState& state, at::IntArrayRef) override {
    return at::linear(state.x, out);
  }
  std::vector<std::string> head_parameters() const override { return {"out"}; }
  void initialize_parameter(std::uint64_t seed, const std::string& name,
                            const titan::init::Slice& parameter) override {
    titan::init::normal_(parameter, {seed, name}, 0.5);
  }
  at::Tensor in, out;
  std::vector<std::shared_ptr<TinyBlock>> layers;
};

MeshTraining tiny_training() {
  MeshTraining training;
  training.make_model = [](at::Device device) { return std::make_shared<TinyModel>(device); };
  training.inputs = [](int64_t step, int64_t first, int64_t count) {
    const at::Tensor numbers =
        torch::arange(first * 3, (first + count) * 3).to(at::kFloat).view({count, 3});
    return MeshTraining::Inputs{torch::sin(numbers + 7 * static_cast<double>(step)),
                                torch::zeros({count}),
                                torch::cos(numbers),
                                {}};
  };
  training.global_batch = 24;
  training.steps = 4;
  return training;
}

std::vector<Layout> layouts() {
  return {{"DDP 2", {.dp_replicate = 2}},
          {"DDP 3", {.dp_replicate = 3}},
          {"ZeRO-1 2", {.dp_shard = 2}, "zero1"},
          {"ZeRO-1 3", {.dp_shard = 3}, "zero1"},
          {"ZeRO-1 2x2", {.dp_replicate = 2, .dp_shard = 2}, "zero1"},
          {"FSDP 2", {.dp_shard = 2}},
          {"FSDP 3", {.dp_shard = 3}},
          {"FSDP 4", {.dp_shard = 4}},
          {"FSDP 8", {.dp_shard = 8}},
          {"HSDP 2x2", {.dp_replicate = 2, .dp_shard = 2}},
          {"HSDP 4x2", {.dp_replicate = 4, .dp_shard = 2}}};
}

}  // namespace

TEST_CASE("Every layout trains to the weights of one rank", "[parallel]") {
  const MeshResult alone = train_on_mesh(tiny_training());
  const MeshResult longer = [] {
    MeshTraining training = tiny_training();
    training.steps = 1;
    return train_on_mesh(training);
  }();
  REQUIRE(largest_difference(alone, longer) > 1e-3);  // the steps do something
  const Layout layout = GENERATE(from_range(layouts()));
  const int64_t accumulation = GENERATE(1, 3);
  const bool each = GENERATE(false, true);
  MeshTraining training = tiny_training();
  training.dims = layout.dims;
  training.accumulation = accumulation;
  training.config.parallelism.shard_strategy = layout.strategy;
  training.config.parallelism.reduce_each_micro_batch = each;
  if (training.global_batch % (accumulation * layout.dims.dp_size()) != 0) return;
  const MeshResult result = train_on_mesh(training);
  INFO(layout.name << ", accumulation " << accumulation << ", reduced each micro-batch " << each);
  CHECK(largest_difference(result, alone) <= 2e-6);
  for (std::size_t step = 0; step < alone.losses.size(); ++step) {
    CHECK(result.losses[step] == Approx(alone.losses[step]).epsilon(1e-5));
    CHECK(result.norms[step] == Approx(alone.norms[step]).epsilon(1e-5));
  }
}

TEST_CASE("How units are gathered does not change a bit", "[parallel]") {
  MeshTraining training = tiny_training();
  training.dims = {.dp_shard = 3};
  const MeshResult expected = train_on_mesh(training);
  const std::string reshard = GENERATE("default", "always", "never");
  const int64_t prefetch = GENERATE(0, 1, 2, 16);
  training.config.parallelism.fsdp_reshard_after_forward = reshard;
  training.config.parallelism.fsdp_prefetch = prefetch;
  const MeshResult result = train_on_mesh(training);
  INFO(reshard << ", prefetch " << prefetch);
  REQUIRE(largest_difference(result, expected) == 0);
  if (reshard == "always" && prefetch == 0) REQUIRE(result.slot_bytes[0] < expected.slot_bytes[0]);
}

TEST_CASE("Parameters in host memory, other buckets: the same weights", "[parallel]") {
  MeshTraining training = tiny_training();
  training.dims =
      GENERATE(ParallelDims{}, ParallelDims{.dp_shard = 2}, ParallelDims{.dp_replicate = 2},
               ParallelDims{.dp_replicate = 2, .dp_shard = 2});
  const MeshResult expected = train_on_mesh(training);
  training.config.training.enable_cpu_offload = GENERATE(false, true);
  training.config.parallelism.bucket_mib = 1e-4;
  const MeshResult result = train_on_mesh(training);
  REQUIRE(largest_difference(result, expected) <= 2e-6);
}

TEST_CASE("Frozen parameters stay as they are, on every layout", "[parallel]") {
  MeshTraining training = tiny_training();
  training.dims = GENERATE(ParallelDims{}, ParallelDims{.dp_shard = 3});
  const MeshResult result = train_on_mesh(training);
  const auto model = std::make_shared<TinyModel>(at::kCPU);
  model->initialize(3);
  for (const auto& entry : model->named_parameters()) {
    INFO(entry.key());
    const bool same = torch::equal(result.weights.at(entry.key()), entry.value());
    CHECK(same == !entry.value().requires_grad());
  }
}

TEST_CASE("bfloat16 computation and reduction follow float32 at their precision", "[parallel]") {
  MeshTraining training = tiny_training();
  training.config.training.mixed_precision_param = "bfloat16";
  const MeshResult alone = train_on_mesh(training);
  training.dims = GENERATE(ParallelDims{.dp_shard = 3}, ParallelDims{.dp_replicate = 3},
                           ParallelDims{.dp_replicate = 2, .dp_shard = 2});
  const MeshResult sharded = train_on_mesh(training);
  // The same weights, rounded the same way, meet the same samples: only sums differ.
  REQUIRE(largest_difference(sharded, alone) <= 2e-3);
  training.config.training.mixed_precision_reduce = "bfloat16";
  const MeshResult reduced = train_on_mesh(training);
  const double difference = largest_difference(reduced, alone);
  REQUIRE(difference <= 2e-2);
  REQUIRE(difference > 0);
}

TEST_CASE("State per rank falls as the arithmetic says", "[parallel]") {
  MeshTraining training = tiny_training();
  training.steps = 1;
  const int64_t whole = train_on_mesh(training).state_elements[0];
  training.dims = {.dp_shard = GENERATE(2, 3, 4)};
  const MeshResult result = train_on_mesh(training);
  const int64_t ranks = training.dims.dp_shard;
  for (const int64_t elements : result.state_elements) {
    REQUIRE(elements * ranks >= whole);
    REQUIRE(elements <= whole / ranks + 5 * 32);  // five units, each padded to 32 elements a rank
  }
}

TEST_CASE("Using a unit that is not gathered is an error, not a wrong number", "[parallel]") {
  titan::testing::run_mesh({.dp_shard = 2}, [](const titan::parallel::DeviceMesh& mesh,
                                               const titan::parallel::MeshGroups& groups) {
    const auto model = std::make_shared<TinyModel>(at::kMeta);
    titan::JobConfig config;
    titan::parallel::ParallelEngine engine(
        titan::split_into_units(*model), groups,
        titan::parallel::engine_options(config, mesh, at::kCPU).value());
    bool refused = false;
    try {
      const at::Tensor y = at::linear(torch::ones({1, kWidth}), model->out);
    } catch (const std::exception&) {
      refused = true;
    }
    TITAN_CHECK(refused, "a product with a parameter without memory must fail");
  });
}
