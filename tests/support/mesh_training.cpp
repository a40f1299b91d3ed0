#include "tests/support/catch.h"

#include "tests/support/mesh_training.h"

#include <algorithm>
#include <mutex>

#include "titan/base/check.h"
#include "titan/optim/adamw.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/parallelize.h"

#include "tests/support/ranks.h"

namespace titan::testing {
namespace {

/// One rank's steps; returns its losses (sums over its samples) and the norms.
void train_rank(const MeshTraining& training, const parallel::DeviceMesh& mesh,
                parallel::ParallelEngine& engine, BlockRunner& runner, std::vector<double>& losses,
                std::vector<double>& norms) {
  optim::AdamW optimizer(engine.parameters().units(),
                         optim::adamw_options(training.config.optimizer, /*seed=*/3));
  optim::StepState state(at::kCPU);
  const int64_t micro = training.global_batch / mesh.dp_size() / training.accumulation;
  for (int64_t step = 0; step < training.steps; ++step) {
    state.begin(step + 1, training.lr);
    engine.begin_step(training.accumulation);
    double sum = 0;
    for (int64_t i = 0; i < training.accumulation; ++i) {
      engine.begin_micro_batch(i);
      const int64_t first = (mesh.dp_rank() * training.accumulation + i) * micro;
      const MeshTraining::Inputs inputs = training.inputs(step, first, micro);
      sum += runner
                 .forward_backward(
                     inputs.x_t, inputs.t, inputs.condition,
                     [&](const at::Tensor& prediction) {
                       return (prediction - inputs.target).square().flatten(1).mean(1).sum() /
                              static_cast<double>(training.global_batch);
                     })
                 .item<double>();
    }
    engine.finish();
    const at::Tensor norm =
        optim::global_grad_norm(engine.parameters().units(),
                                [&](const at::Tensor& values) { engine.sum_over_shards_(values); });
    optimizer.step(state, optim::clip_coefficient(norm, training.max_norm));
    engine.parameters().weights_changed(/*with_copies=*/optimizer.writes_copies());
    losses.push_back(sum);
    norms.push_back(norm.item<double>());
  }
}

/// Writes a rank's slices into whole tensors; where they are written already they must be equal.
void collect(const parallel::FlatParameters& parameters, bool first_replica, MeshResult& result) {
  for (const parallel::FlatUnit& unit : parameters.units()) {
    for (const parallel::Fragment& fragment : unit.fragments) {
      at::Tensor& whole = result.weights[fragment.name];
      if (!whole.defined()) whole = torch::full(fragment.shape, NAN);
      const at::Tensor part = whole.view({-1}).narrow(0, fragment.global_offset, fragment.length);
      const at::Tensor mine =
          parallel::fragment_view(unit.weights(), fragment).values().to(at::kFloat);
      TITAN_CHECK(first_replica || torch::equal(part, mine), "replicas differ in ", fragment.name);
      if (first_replica) part.copy_(mine);
    }
  }
}

}  // namespace

MeshResult train_on_mesh(const MeshTraining& training) {
  at::set_num_threads(1);  // ranks are threads already
  const auto world = static_cast<std::size_t>(training.dims.world_size());
  std::vector<std::vector<double>> losses(world), norms(world);
  std::vector<std::unique_ptr<parallel::ParallelEngine>> engines(world);
  MeshResult result;
  result.state_elements.resize(world);
  result.slot_bytes.resize(world);
  run_mesh(
      training.dims,
      [&](const parallel::DeviceMesh& mesh, const parallel::MeshGroups& groups) {
        const auto rank = static_cast<std::size_t>(mesh.rank());
        const std::shared_ptr<Model> model = training.make_model(at::kMeta);
        engines[rank] = std::make_unique<parallel::ParallelEngine>(
            split_into_units(*model), groups,
            parallel::engine_options(training.config, mesh, at::kCPU).value());
        parallel::ParallelEngine& engine = *engines[rank];
        engine.parameters().initialize(*model, /*seed=*/3);
        const auto runner =
            parallel::default_parallelize(model, mesh, training.config, &engine).value();
        train_rank(training, mesh, engine, *runner, losses[rank], norms[rank]);
        for (const parallel::FlatUnit& unit : engine.parameters().units())
          result.state_elements[rank] += unit.master.numel();
        result.slot_bytes[rank] = engine.gather().slot_bytes();
      },
      std::chrono::seconds(60));
  const int64_t shards = training.dims.dp_shard;
  for (std::size_t rank = 0; rank < world; ++rank)
    collect(engines[rank]->parameters(), static_cast<int64_t>(rank) < shards, result);
  result.norms = norms.front();
  result.losses.assign(static_cast<std::size_t>(training.steps), 0);
  for (std::size_t rank = 0; rank < world; ++rank) {
    TITAN_CHECK(norms[rank] == norms.front(), "ranks must agree on the norm");
    for (std::size_t step = 0; step < result.losses.size(); ++step)
      result.losses[step] += losses[rank][step];
  }
  return result;
}

double largest_difference(const MeshResult& a, const MeshResult& b) {
  TITAN_CHECK(a.weights.size() == b.weights.size(), "the same parameters");
  double difference = 0, largest = 0;
  for (const auto& [name, tensor] : a.weights) {
    const at::Tensor& other = b.weights.at(name);
    TITAN_CHECK(tensor.isfinite().all().item<bool>() && other.isfinite().all().item<bool>(),
                "not finite: ", name);
    difference = std::max(difference, (tensor - other).abs().max().item<double>());
    largest = std::max(largest, tensor.abs().max().item<double>());
  }
  return difference / largest;
}

}  // namespace titan::testing
