#include "tests/support/catch.h"

#include <algorithm>
#include <mutex>

#include "titan/parallel/engine.h"
#include "titan/plan/dry_run.h"
#include "titan/plan/memory_plan.h"

#include "tests/support/ranks.h"

using namespace titan;
using plan::EngineShape;

namespace {

/// Units of different odd sizes; one wholly frozen.
std::vector<ModelUnit> units() {
  std::vector<ModelUnit> all;
  for (int64_t u = 0; u < 6; ++u) {
    ModelUnit unit{.name = "u" + std::to_string(u), .parameter_names = {}, .parameters = {}};
    for (int64_t p = 0; p < 3; ++p) {
      unit.parameter_names.push_back(unit.name + "." + std::to_string(p));
      unit.parameters.push_back(
          torch::empty({37 + 11 * u, 5 + p}, torch::kMeta).requires_grad_(u != 2));
    }
    all.push_back(std::move(unit));
  }
  return all;
}

/// Steps of the real engine with gradients of zero, by hand.
void drive(parallel::ParallelEngine& engine, const std::vector<ModelUnit>& all,
           int64_t accumulation) {
  for (int step = 0; step < 2; ++step) {
    engine.begin_step(accumulation);
    for (int64_t i = 0; i < accumulation; ++i) {
      engine.begin_micro_batch(i);
      engine.begin_pass(/*with_backward=*/true);
      for (std::size_t u = 0; u < all.size(); ++u) {
        engine.before_forward(u);
        engine.after_forward(u);
      }
      for (std::size_t u = all.size(); u-- > 0;) {
        engine.before_backward(u);
        std::vector<at::Tensor> gradients;
        for (const at::Tensor& leaf : all[u].parameters)
          gradients.push_back(torch::zeros(leaf.sizes()));
        engine.gradients_ready(u, gradients);
      }
    }
    engine.finish();
    engine.parameters().weights_changed();
  }
}

}  // namespace

TEST_CASE("the engine in numbers needs the slots that the engine makes", "[plan]") {
  for (const parallel::ParallelDims dims : {parallel::ParallelDims{.dp_shard = 3},
                                            {.dp_replicate = 2},
                                            {.dp_replicate = 2, .dp_shard = 2}}) {
    for (const char* strategy : {"fsdp", "zero1"}) {
      for (const char* reshard : {"default", "always", "never"}) {
        for (const char* reduce : {"float32", "bfloat16"}) {
          for (const auto& [accumulation, each] :
               {std::pair<int64_t, bool>{1, false}, {3, false}, {3, true}}) {
            plan::Layout layout{
                .name = "", .config = {}, .dims = dims, .accumulation = accumulation};
            layout.config.parallelism.shard_strategy = strategy;
            layout.config.parallelism.fsdp_reshard_after_forward = reshard;
            layout.config.parallelism.reduce_each_micro_batch = each;
            layout.config.training.mixed_precision_reduce = reduce;
            std::mutex mutex;
            std::vector<std::array<int64_t, 3>> real;
            int64_t master = 0;
            testing::run_mesh(dims, [&](const parallel::DeviceMesh& mesh,
                                        const parallel::MeshGroups& groups) {
              const std::vector<ModelUnit> all = units();
              const auto options = parallel::engine_options(layout.config, mesh, at::kCPU).value();
              parallel::ParallelEngine engine(all, groups, options);
              drive(engine, all, layout.accumulation);
              const std::lock_guard<std::mutex> lock(mutex);
              master = 0;
              for (const parallel::FlatUnit& unit : engine.parameters().units())
                master += static_cast<int64_t>(unit.grad.nbytes());
              real.push_back(
                  {engine.gather().slot_bytes(), engine.reduction().buffer_bytes(), master});
            });

            std::vector<parallel::UnitLayout> layouts;
            for (const ModelUnit& unit : units()) {
              std::vector<parallel::ParameterShape> shapes;
              for (std::size_t p = 0; p < unit.parameters.size(); ++p)
                shapes.push_back({unit.parameter_names[p], unit.parameters[p].sizes().vec(),
                                  unit.parameters[p].requires_grad()});
              layouts.push_back(parallel::lay_out_unit(unit.name, shapes, dims.dp_shard));
            }
            const EngineShape shape = plan::engine_shape(layout).value();
            plan::LiveBytes live;
            plan::EngineWalk walk(layouts, shape, live);
            for (int step = 0; step < 2; ++step)
              plan::walk_units(walk, layouts.size(), accumulation);
            const plan::StaticBytes fixed = plan::static_bytes(layouts, shape, false);
            INFO(dims.dp_replicate << " x " << dims.dp_shard << ", " << strategy << ", " << reshard
                                   << ", " << reduce << ", accumulation " << accumulation
                                   << ", each " << each);
            REQUIRE(real.size() == static_cast<std::size_t>(dims.world_size()));
            for (const auto& [gather, buffers, gradients] : real) {
              REQUIRE(gather == walk.gather_slot_bytes());
              REQUIRE(buffers == walk.message_slot_bytes() + fixed.whole_gradients);
              REQUIRE(gradients == fixed.gradients);
            }
            REQUIRE(live.now == 0);
          }
        }
      }
    }
  }
}
