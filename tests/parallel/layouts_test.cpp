// The models that titan ships, on every layout: the weights after 20 steps are those of one rank.
#include "tests/support/catch.h"

#include <map>

#include "titan/models/dit/model.h"
#include "titan/models/flux/model.h"

#include "tests/support/mesh_training.h"

using titan::parallel::ParallelDims;
using titan::testing::largest_difference;
using titan::testing::Layout;
using titan::testing::MeshResult;
using titan::testing::MeshTraining;

namespace titan {
namespace {

constexpr int64_t kGlobalBatch = 24;
// Of the largest weight: float32 sums in another order, carried through 20 AdamW steps.
constexpr double kTolerance = 1e-5;

at::Tensor numbers(at::IntArrayRef shape, double phase) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return torch::sin(torch::arange(count, at::kDouble) * 0.7 + phase).to(at::kFloat).view(shape);
}

/// Rows first .. first + count - 1 of what a step's global batch is.
at::Tensor rows(std::vector<int64_t> shape, double phase, int64_t first, int64_t count) {
  shape.insert(shape.begin(), kGlobalBatch);
  return numbers(shape, phase).narrow(0, first, count).contiguous();
}

MeshTraining flux_training() {
  models::FluxConfig config;
  config.in_channels = 16;
  config.vec_in_dim = 5;
  config.context_in_dim = 7;
  config.hidden_size = 24;
  config.num_heads = 2;
  config.depth = 1;
  config.depth_single_blocks = 2;
  config.axes_dim = {4, 4, 4};
  MeshTraining training;
  training.make_model = [config](at::Device device) {
    return std::make_shared<models::Flux>(config, at::TensorOptions().device(device));
  };
  training.inputs = [](int64_t step, int64_t first, int64_t count) {
    const double phase = static_cast<double>(step);
    MeshTraining::Inputs inputs;
    inputs.x_t = rows({4, 4, 6}, phase, first, count);
    inputs.target = rows({4, 4, 6}, phase + 0.3, first, count);
    inputs.t = rows({}, phase, first, count).abs();
    inputs.condition.set("txt", rows({3, 7}, phase + 1, first, count));
    inputs.condition.set("y", rows({5}, phase + 2, first, count));
    return inputs;
  };
  return training;
}

MeshTraining dit_training() {
  models::DitConfig config;
  config.dim = 24;
  config.n_layers = 3;
  config.n_heads = 2;
  config.multiple_of = 4;
  config.patch_size = 2;
  config.in_channels = 3;
  config.num_classes = 5;
  MeshTraining training;
  training.make_model = [config](at::Device device) {
    return std::make_shared<models::Dit>(config, at::TensorOptions().device(device));
  };
  training.inputs = [](int64_t step, int64_t first, int64_t count) {
    const double phase = static_cast<double>(step);
    MeshTraining::Inputs inputs;
    inputs.x_t = rows({3, 4, 6}, phase, first, count);
    inputs.target = rows({3, 4, 6}, phase + 0.3, first, count);
    inputs.t = rows({}, phase, first, count).abs();
    inputs.condition.set("label", torch::arange(first, first + count).remainder(6));
    return inputs;
  };
  return training;
}

MeshTraining training_of(const std::string& model) {
  MeshTraining training = model == "flux" ? flux_training() : dit_training();
  training.global_batch = kGlobalBatch;
  training.steps = 20;
  training.lr = 2e-3;
  return training;
}

std::vector<Layout> layouts() {
  return {{"DDP 2", {.dp_replicate = 2}},
          {"ZeRO-1 4", {.dp_shard = 4}, "zero1"},
          {"FSDP 2", {.dp_shard = 2}},
          {"FSDP 3", {.dp_shard = 3}},
          {"FSDP 8", {.dp_shard = 8}},
          {"HSDP 2x2", {.dp_replicate = 2, .dp_shard = 2}},
          {"HSDP 2x4", {.dp_replicate = 2, .dp_shard = 4}}};
}

struct Recompute {
  std::string mode = "none";
  std::string option = "2";
};

const MeshResult& one_rank(const std::string& model) {
  static std::map<std::string, MeshResult> results;
  const auto found = results.find(model);
  if (found != results.end()) return found->second;
  return results.emplace(model, train_on_mesh(training_of(model))).first->second;
}

void check_layout(const std::string& model, const Layout& layout, int64_t accumulation,
                  const Recompute& recompute) {
  MeshTraining training = training_of(model);
  if (training.global_batch % (accumulation * layout.dims.dp_size()) != 0) return;
  training.dims = layout.dims;
  training.accumulation = accumulation;
  training.config.parallelism.shard_strategy = layout.strategy;
  training.config.activation_checkpoint.mode = recompute.mode;
  training.config.activation_checkpoint.selective_ac_option = recompute.option;
  const MeshResult result = train_on_mesh(training);
  INFO(model << ", " << layout.name << ", accumulation " << accumulation << ", recompute "
             << recompute.mode << " " << recompute.option);
  CHECK(largest_difference(result, one_rank(model)) <= kTolerance);
  for (std::size_t step = 0; step < result.losses.size(); ++step)
    CHECK(result.losses[step] == Approx(one_rank(model).losses[step]).epsilon(1e-5));
}

TEST_CASE("Flux and DiT on every layout and recompute mode, with accumulation", "[parallel]") {
  const std::string model = GENERATE("flux", "dit");
  const Layout layout = GENERATE(from_range(layouts()));
  const int64_t accumulation = GENERATE(1, 3);
  const Recompute recompute = GENERATE(Recompute{}, Recompute{"full"}, Recompute{"selective", "2"},
                                       Recompute{"selective", "op"});
  // Every mode on every layout without accumulation; with it, on two.
  if (accumulation > 1 && recompute.mode == "selective") return;
  check_layout(model, layout, accumulation, recompute);
}

TEST_CASE("The steps of the layouts' tests change the weights", "[parallel]") {
  const std::string model = GENERATE("flux", "dit");
  MeshTraining training = training_of(model);
  training.steps = 1;
  REQUIRE(largest_difference(train_on_mesh(training), one_rank(model)) > 100 * kTolerance);
}

}  // namespace
}  // namespace titan
